"""The memory: tables, the database, and every statement by name."""
