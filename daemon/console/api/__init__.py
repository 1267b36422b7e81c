"""The JSON API: one file per kind of thing."""
