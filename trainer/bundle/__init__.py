"""A trained or foreign model becomes a bundle."""
