"""Examples of journeys in Python."""
