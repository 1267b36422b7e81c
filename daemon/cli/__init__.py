"""The command line of the daemon: one file per subcommand of `ostiaryd`, named like it."""
