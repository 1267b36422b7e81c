"""ostiaryctl: enrol, revoke, suspend, list and watch from the command line. It is an MQTT client and nothing more.

Exit codes: 0 done · 1 refused or failed (by the gate or the broker's ACL) · 2 usage or bad input · 3 no answer in time, or no
broker · 130 interrupted. Every failure is one line and a hint on stderr, or with --json one object on stdout.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from daemon.client.failures import INTERRUPTED, USAGE, ClientError
from daemon.client.settings import completed
from daemon.config import ConfigError
from daemon.core.plain import printable, show_anywhere
from daemon.ctl.arguments import Run, parser
from daemon.ctl.bulk.rows import ListedError
from daemon.ctl.enroll import enroll
from daemon.ctl.keys import make_key
from daemon.ctl.people import show_one, show_people
from daemon.ctl.requests import change_model, send
from daemon.ctl.roster.runs import run_roster
from daemon.ctl.schema import show_schema
from daemon.ctl.status import show_status
from daemon.ctl.watch import watch


def _sync(args: argparse.Namespace, out: Console) -> int:
    from daemon.ctl.bulk.sync import sync  # nobody else waits for the imports of many

    return sync(args, out)


RUNS: dict[str, Run] = {
    "enroll": enroll,
    "sync": _sync,
    **dict.fromkeys(("update", "revoke", "suspend", "resume", "verify", "ping"), send),
    "reembed": change_model,
    "get": show_one,
    "list": show_people,
    "status": show_status,
    "watch": watch,
    "schema": show_schema,
    "keygen": make_key,
    "roster": run_roster,
}

NEED_NO_BROKER = ("schema", "keygen")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    show_anywhere(sys.stdout, sys.stderr, escaped="--json" in argv)
    width = None if sys.stdout.isatty() else 250  # tables in files and pipes need not fit a screen
    out, err = Console(highlight=False, width=width), Console(stderr=True, highlight=False)
    # At a screen lines break between words. Other programs get each line whole.
    out.soft_wrap, err.soft_wrap = "--json" in argv or not out.is_terminal, not err.is_terminal
    try:
        args = parser(RUNS).parse_args(argv)
        if args.op not in NEED_NO_BROKER:
            args = argparse.Namespace(**completed(vars(args)))
        run: Run = args.run
        return run(args, out)
    except (ClientError, ConfigError) as error:
        lines = error.lines if isinstance(error, ListedError) else ()
        if "--json" in argv:
            out.print(Text(json.dumps({"error": error.message, "hint": error.hint, **({"lines": lines} if lines else {})})))
        else:
            for line in lines:
                err.print(Text(printable(line)))
            err.print(Text(printable(f"ostiaryctl: {error.message}"), "red"))
            err.print(Text(printable(f"  hint: {error.hint}")))
        return error.code if isinstance(error, ClientError) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
