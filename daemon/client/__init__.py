"""What every program at a desk shares: the broker, its settings file, the key that signs, and pictures that fit into a command."""
