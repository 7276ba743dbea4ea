"""The journey verbs, the interpreter of declared steps, and the Temporal client."""
