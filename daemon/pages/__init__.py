"""Charts and HTML that the daemon and the trainer share."""
