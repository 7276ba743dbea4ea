"""What comes in about customers."""
