"""schema: the MQTT contract as a document. It needs no broker."""

import argparse
import json

from rich.console import Console

from daemon.client.failures import DONE
from daemon.core import contract


def show_schema(args: argparse.Namespace, out: Console) -> int:
    """Print the document that was asked for."""
    text = contract.tables() if args.markdown else json.dumps(contract.asyncapi() if args.asyncapi else contract.schemas(), indent=1)
    out.out(text, highlight=False, end="" if args.markdown else "\n")
    return DONE
