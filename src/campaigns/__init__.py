"""Durable customer journeys on Temporal."""
