"""A journey as it is defined: its steps, its conditions, its times."""
