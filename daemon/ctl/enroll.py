"""enroll: one person, or many from a file or folder."""

import argparse

from rich.console import Console

from daemon.client.failures import USAGE, ClientError
from daemon.ctl.requests import send

_ONLY_MANY = (("report", "--report"), ("journal", "--journal"))


def enroll(args: argparse.Namespace, out: Console) -> int:
    """Raises ClientError for options that do not go together."""
    is_many = args.csv is not None or args.folder is not None
    if is_many and args.person is not None:
        raise ClientError(USAGE, f"{args.person} and a file of people are both given", "give either PERSON or --csv or --folder")
    if is_many and args.name is not None:
        raise ClientError(USAGE, "--name would be everybody's name", "write names into the file, or into the names of the folders")
    if not is_many and args.person is None:
        raise ClientError(USAGE, "nobody is named", "give PERSON, an employee number; or --csv or --folder for many")
    for name, option in _ONLY_MANY if not is_many else ():
        if getattr(args, name) is not None:
            raise ClientError(USAGE, f"{option} is for many people", "give it with --csv or --folder")
    if not is_many:
        return send(args, out)
    from daemon.ctl.bulk.enroll import enroll_many  # nobody else waits for the imports of many

    return enroll_many(args, out)
