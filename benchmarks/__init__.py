"""What is measured, and the faults that are injected."""
