"""One outside thing per file. An edge never imports another edge; `daemon.serving.app` connects them."""
