"""Every statement the product sends to its database, by name, one module a subject."""
