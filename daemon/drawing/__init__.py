"""A replay drawn for people: the annotated video, and the page from which a person can judge it."""
