"""Error rates, galleries, thresholds: how good a model is."""
