"""The commands of ostiary-train, one file each. `run(options)` does the work with the parsed options."""
