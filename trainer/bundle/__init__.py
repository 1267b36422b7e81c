"""Making a bundle: of a trained run, or of somebody else's model."""
