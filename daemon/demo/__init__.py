"""`make demo`: everything from camera to broker on one machine, with rendered people. See `__main__`."""
