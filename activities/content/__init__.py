"""What a message says: composing and rendering it."""
