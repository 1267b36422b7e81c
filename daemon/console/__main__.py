"""ostiary-console: people at a desk in a browser, and a JSON API. It is an MQTT client with a key and nothing more.

Exit codes: 0 done · 1 failed · 2 usage · 78 settings or users that cannot be used. Every failure is one line and a hint on stderr.
"""

import argparse
import getpass
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from daemon.client.failures import ClientError
from daemon.config import ConfigError
from daemon.console.config import read_settings
from daemon.console.roles import WORDS
from daemon.core.plain import printable, show_anywhere

CONFIG = 78
"""EX_CONFIG of sysexits.h: a restart would not help."""
EXTRA = "pip install '.[console]'"
"""What an installation without the extra lacks. So nothing of it is imported before a command runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    show_anywhere(sys.stdout, sys.stderr)
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except (ClientError, ConfigError) as error:
        sys.stderr.write(printable(f"ostiary-console: {error.message}") + "\n" + printable(f"  hint: {error.hint}") + "\n")
        return CONFIG
    except ModuleNotFoundError as error:
        sys.stderr.write(f"ostiary-console: {error.name} is not installed\n  hint: run `{EXTRA}` in the folder of Ostiary's source\n")
        return CONFIG
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--settings", type=Path, metavar="FILE", help="the settings (/etc/ostiary-console/console.toml)")
    whole = argparse.ArgumentParser(prog="ostiary-console", description="Serve the console, or change its users.", parents=[shared])
    whole.set_defaults(run=_serve)
    commands = whole.add_subparsers(metavar="COMMAND")
    commands.add_parser("run", help="serve the console; also without a command", parents=[shared]).set_defaults(run=_serve)
    user = commands.add_parser("user", help="add, list, remove or change users", parents=[shared])
    actions = user.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="a new user; the password is asked for, or read from standard input", parents=[shared])
    add.add_argument("name", metavar="NAME")
    add.add_argument("--role", required=True, choices=WORDS)
    add.set_defaults(run=_add)
    actions.add_parser("list", help="show users and roles", parents=[shared]).set_defaults(run=_list)
    for name, what, run in (
        ("remove", "remove a user, whose sessions end", _remove),
        ("password", "a new password; the user's sessions end", _password),
        ("role", "another role; the user's sessions end", _role),
    ):
        action = actions.add_parser(name, help=what, parents=[shared])
        action.add_argument("name", metavar="NAME")
        if name == "role":
            action.add_argument("role", metavar="ROLE", choices=WORDS)
        action.set_defaults(run=run)
    return whole


def _serve(args: argparse.Namespace) -> int:
    from daemon.console import users
    from daemon.console.server import Served, take_files  # who changes a user need not wait for the web server

    settings = read_settings(_place(args))
    if settings.console.users:
        users.need_somebody(Path(settings.console.users))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # a line for each broken request would be a flood
    take_files()
    served = Served(settings)
    logging.getLogger("ostiary.console").info("the console is at %s", served.address)
    served.run()
    return 0


def _add(args: argparse.Namespace) -> int:
    from daemon.console import users

    users.add(_users(args), args.name, args.role, _secret(args.name))
    return 0


def _password(args: argparse.Namespace) -> int:
    from daemon.console import users

    users.change(_users(args), args.name, password=_secret(args.name))
    return 0


def _role(args: argparse.Namespace) -> int:
    from daemon.console import users

    users.change(_users(args), args.name, word=args.role)
    return 0


def _remove(args: argparse.Namespace) -> int:
    from daemon.console import users

    users.remove(_users(args), args.name)
    return 0


def _list(args: argparse.Namespace) -> int:
    from daemon.console import users

    for name, user in users.read_users(_users(args)).items():
        sys.stdout.write(printable(f"{name:<24}{user.role}") + "\n")
    return 0


def _place(args: argparse.Namespace) -> Path:
    return Path(getattr(args, "settings", "/etc/ostiary-console/console.toml"))


def _users(args: argparse.Namespace) -> Path:
    settings = read_settings(_place(args))
    if not settings.console.users:
        raise ConfigError("console.users is not given, so users log in at the reverse proxy", 'write users = "users.json" into [console]')
    return Path(settings.console.users)


def _secret(name: str) -> str:
    """A password from the terminal, asked for twice, or the first line of standard input. Raises ConfigError."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"password for {name}: ")
    if getpass.getpass("once more: ") != first:
        raise ConfigError("the two passwords are not the same", "try again")
    return first


if __name__ == "__main__":
    sys.exit(main())
