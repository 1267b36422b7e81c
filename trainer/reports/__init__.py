"""The HTML page about a model (`measure` makes its numbers, `page` the page), and runs side by side."""
