"""The vocabulary and the memory: definitions, decisions, tables, queries, settings."""
