"""Admission, event intake, dispatch to Temporal, and the HTTP routes."""
