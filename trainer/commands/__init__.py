"""What each command of ostiary-train does, one file a command, with its options already parsed."""

from __future__ import annotations

import argparse
import importlib


def run(options: argparse.Namespace) -> None:
    """Run the command that was asked for; only that command's libraries are loaded."""
    importlib.import_module(f"trainer.commands.{options.command}").run(options)
