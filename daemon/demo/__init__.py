"""The whole line shown on one machine: rendered people walk up to a gate. See `__main__`."""
