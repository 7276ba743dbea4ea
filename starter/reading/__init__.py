"""What the API reads out."""
