"""One face over many frames: its track, its evidence, and the answer."""
