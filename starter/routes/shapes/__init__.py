"""The shapes of the API's answers, as /openapi.json says them.

A field that an answer may leave out has a default here; one that may be null says so. What an answer holds beyond its
shape is an error, so that no field is shown that is not documented.
"""
