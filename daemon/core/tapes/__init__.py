"""The bytes of recordings and of the flight recorder."""
