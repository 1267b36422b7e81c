"""ostiaryctl roster: the administrator of a fleet."""
