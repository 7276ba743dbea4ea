"""The `campaigns` command."""
