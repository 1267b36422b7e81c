"""`ostiaryd export-person`: everything the box holds about one person, as a file to hand out (GDPR article 15)."""

import argparse
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from daemon.cli import audit
from daemon.cli.say import console
from daemon.config import load
from daemon.core.counts import counted
from daemon.core.messages import utc
from daemon.core.people.records import state
from daemon.edges.files import placed
from daemon.edges.store import KEEP_RESULTS_S, Dossier, StoreError, dossier_of
from daemon.pipeline import opening

README = f"""What this door's face recogniser holds about {{person}}, as of the day this file was made.

record.json      your record: number, name, since when, until when, at which gates and hours it lets you in, and where your consent is kept
crops/           the pictures of your face that were taken at your enrolment, cut out; one for each template
templates.json   for each picture the numbers that a model made of it (the template) and which model; only these are compared at the gate
commands.json    the answers to commands about you (enrolment, suspension, changes) of the last {KEEP_RESULTS_S // 86_400} days
messages.json    messages about you that have not been delivered yet
audit.jsonl      commands about you and decisions about you at the gates, in which you are called by a random name

How long it is kept: record, pictures and templates until you are revoked, then they are erased at once; answers to commands for
{KEEP_RESULTS_S // 86_400} days; undelivered messages until they are delivered; audit records for as long as the box is set to, but your
revocation erases what says that they are yours. After a revocation your number and the time of the
last command about it stay, so that no older command brings you back. Pictures of the camera are kept only where
recording is switched on, for a few days, and what the gates saw without pictures for about an hour, where you have the random name;
neither is in this file. Otherwise faces of people who are not enrolled are never stored.
Backups and the systems that take the door's messages keep what they keep; ask whoever runs them.

For whoever hands this out: look through commands.json and messages.json first, other people's numbers may stand in them.
{{damaged}}"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    export = commands.add_parser(
        "export-person",
        help="everything held about one person, as a zip file",
        description="Write everything the store holds about one person into a zip file, for them to have. It is not sealed: it is theirs."
        " A daemon may go on serving meanwhile.",
    )
    export.add_argument("person", metavar="PERSON")
    export.add_argument("file", type=Path, metavar="FILE.zip")
    export.add_argument("--force", action="store_true", help="write over a file that is there")
    export.add_argument("--config", type=Path, required=True, metavar="FILE")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    store = opening.open_gallery(load(arguments.config), read_only=True)
    try:
        held = dossier_of(store, arguments.person)
        pseudonym = store.pseudonym(arguments.person)
        records = list(audit.lines(store, pseudonym=pseudonym, exact=True)) if pseudonym is not None else []
    finally:
        store.close()
    if held is None:
        raise StoreError(f"nobody is enrolled as {arguments.person}", "`ostiaryctl list` shows who is")
    with placed(arguments.file, arguments.force) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents(held, records):
            archive.writestr(name, content)
    console().print(
        f"{arguments.file}: the record of {arguments.person}, {counted(len(held.templates), 'template')},"
        f" {counted(len(held.results), 'answer')} to commands"
    )
    return 0


def contents(held: Dossier, records: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The files of the archive, name and content, from what the store holds of a person and their lines of the audit chain."""
    person = held.record
    lost = counted(held.unreadable, "template")
    damaged = f"\n{lost} damaged: what is missing there cannot be read any more.\n" if held.unreadable else ""
    yield "README.txt", README.format(person=person.person, damaged=damaged).encode()
    yield (
        "record.json",
        _json(
            {
                "person": person.person,
                "name": person.name,
                "state": state(person),
                "enrolled_at": utc(person.enrolled_at),
                "valid_from": _when(person.valid_from),
                "valid_until": _when(person.valid_until),
                "gates": None if person.gates is None else list(person.gates),
                "schedule": person.schedule,
                "consent": person.consent,
                "last_command_issued_at": _when(held.last_order),
            }
        ),
    )
    yield (
        "templates.json",
        _json(
            [
                {
                    "number": template.number,
                    "crop": f"crops/{template.number}.png" if template.crop else None,
                    "created_at": _when(held.created.get(template.number)),
                    "vectors": {model: [float(x) for x in vector] for model, vector in template.vectors.items()},
                }
                for template in held.templates
            ]
        ),
    )
    for template in held.templates:
        if template.crop:
            yield f"crops/{template.number}.png", template.crop
    yield "commands.json", _json([{"answered_at": utc(at), **json.loads(answer)} for at, answer in held.results])
    yield "audit.jsonl", "".join(f"{record}\n" for record in records).encode()
    yield "messages.json", _json([{"topic": topic, "message": json.loads(payload)} for topic, payload in held.messages])


def _when(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else utc(epoch_s)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
