"""The delivery of messages."""
