"""The HTML page about a model (`measure` its numbers, then `page`), and runs side by side."""
