"""Recipes: their values, the reader, and those that come with the trainer."""
