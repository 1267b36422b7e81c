"""The running daemon: composition root, engine, gate workers, and what goes out."""
