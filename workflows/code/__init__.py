"""What journeys in Python are written with."""
