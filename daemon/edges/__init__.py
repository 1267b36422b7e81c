"""One outside thing per file. An edge never imports another edge; `daemon.app` connects them."""
