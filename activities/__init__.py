"""What touches the world for one entry."""
