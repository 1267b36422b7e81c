"""Pictures of people: reading, splitting, disturbing and preparing them."""
