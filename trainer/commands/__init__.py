"""What each command of ostiary-train does, one file a command: `run(options)`, with its options already parsed."""
