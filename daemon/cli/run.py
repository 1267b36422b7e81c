"""`ostiaryd run`: serve the gates of a configuration."""

import argparse
from dataclasses import replace
from pathlib import Path

from daemon.cli.pairs import pairs
from daemon.config import ConfigError, load
from daemon.serving import app


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    run = commands.add_parser(
        "run", help="serve the gates of a configuration", description="Serve the gates of a configuration until stopped."
    )
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.add_argument(
        "--source", action="append", default=[], metavar="GATE=SOURCE", help="another source for a gate than the configuration's"
    )
    run.add_argument("--until-end", action="store_true", help="stop when every source is a recording and has been seen to its end")
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    for gate, source in pairs(arguments.source, "--source", "GATE=SOURCE"):
        if gate not in config.gates:
            raise ConfigError(f"--source: no gate {gate!r} in {arguments.config}", f"its gates are {', '.join(config.gates)}")
        config = replace(config, gates={**config.gates, gate: replace(config.gates[gate], source=source)})
    app.run(config, arguments.until_end)
    return 0
