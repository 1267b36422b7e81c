"""One face in a picture: where it is, whether it is good enough, and its crop."""
