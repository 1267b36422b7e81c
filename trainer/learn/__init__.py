"""Training: batches, the loop, and its judge."""
