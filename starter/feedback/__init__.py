"""What is heard back of messages, and from those who got them."""
