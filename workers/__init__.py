"""Composition: settings to engine, senders, activities and task queues."""
