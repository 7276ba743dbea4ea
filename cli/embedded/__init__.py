"""What `campaigns dev` and `make demo` bring along in place of real servers and providers."""
