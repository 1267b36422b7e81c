"""`ostiaryd`: run the gates, replay a recording, or check an installation."""

import argparse
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from daemon import app, audit_lines, backups, pipeline, site, subject
from daemon.config import Config, ConfigError, GateConfig, load
from daemon.core.audit import DIGEST_BYTES, AuditError, HeadError
from daemon.core.decide import Decision, Gatekeeper
from daemon.core.enrol import EnrolError
from daemon.core.policy import forbids
from daemon.core.values import Person, Reason
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.edges.store import StoreError, rotate_key
from daemon.engine import EngineFailed
from daemon.enrolment import enrolment_crop
from daemon.model import Model
from daemon.replay import line, replay

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: the unit file tells systemd that a restart would not help


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (failed), 2 (bad arguments) or 78 (configuration, bundle or device unusable)."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        return int(arguments.command(arguments))
    except app.Unusable as error:
        return _complain(error.message, error.hint, EXIT_CONFIG)
    except (StoreError, AuditError, HeadError) as error:
        return _complain(error.message, error.hint, EXIT_FAILED)
    except EngineFailed as error:
        logging.getLogger("ostiary").error("%s", error, exc_info=error.__cause__)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED


def _complain(message: str, hint: str, status: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"ostiaryd: {message}\n  hint: {hint}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ostiaryd", description="The doorkeeper: camera frames in, access decisions out over MQTT.")
    parser.add_argument("--version", action="version", version=f"ostiary {app.version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", help="serve the gates of a configuration", description="Serve the gates of a configuration until stopped."
    )
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.add_argument(
        "--source", action="append", default=[], metavar="GATE=SOURCE", help="another source for a gate than the configuration's"
    )
    run.add_argument("--until-end", action="store_true", help="stop when every source is a recording and has been seen to its end")
    run.set_defaults(command=_run)

    check = commands.add_parser(
        "check", help="try every part of an installation", description="Try every part of an installation, changing nothing."
    )
    check.add_argument("--config", type=Path, required=True, metavar="FILE")
    check.add_argument("--audit", action="store_true", help="follow the audit chain from end to end, and try nothing else")
    check.add_argument("--head", type=_head, metavar="HEX", help="the same, and it must pass through this head of a status message")
    check.set_defaults(command=_check)

    audit = commands.add_parser(
        "audit",
        help="the records of commands and decisions",
        description="Print the records of commands and decisions, oldest first, changing nothing. They name people by pseudonyms.",
    )
    audit.add_argument("--config", type=Path, required=True, metavar="FILE")
    audit.add_argument(
        "--since", type=_instant, metavar="TIME", help="from this day or instant on (RFC 3339, UTC unless it says otherwise)"
    )
    audit.add_argument("--person", metavar="ID", help="the records of somebody who is enrolled")
    audit.add_argument("--json", action="store_true", help="one JSON line each, with number and digest")
    audit.set_defaults(command=_audit)

    rotate = commands.add_parser(
        "rotate-key",
        help="seal the store anew with a new key",
        description="Seal everything in the store anew with a new key, which takes the place of the old one. The daemon must be stopped."
        " When it is interrupted, the next start finds the key that fits.",
    )
    rotate.add_argument("--config", type=Path, required=True, metavar="FILE")
    rotate.set_defaults(command=_rotate_key)

    backups.add_parsers(commands)
    subject.add_parser(commands)
    site.add_parser(commands)

    again = commands.add_parser(
        "replay",
        help="what would be decided about a recording",
        description="Decide about recorded frames, without broker or clock, and print one JSON line per decision."
        " The gallery is the one of --config (read only), or the photos given with --enroll.",
    )
    again.add_argument("source", help="a video file or a folder of pictures")
    again.add_argument("--config", type=Path, metavar="FILE", help="take gallery, model, detector and rules from here")
    again.add_argument(
        "--enroll",
        action="append",
        default=[],
        metavar="PERSON=JPEG",
        help="a person and a photo of them, in a gallery of this replay's own",
    )
    again.add_argument("--bundle", default=None, metavar="ONNX", help="another model than the configuration's")
    again.add_argument("--detector", default=None, metavar="haar|ONNX", help="another detector than the configuration's")
    again.add_argument("--fps", type=float, default=25.0, help="frames per second of a folder of pictures (default 25)")
    again.set_defaults(command=_replay)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    for gate, source in _pairs(arguments.source, "--source", "GATE=SOURCE"):
        if gate not in config.gates:
            raise ConfigError(f"--source: no gate {gate!r} in {arguments.config}", f"its gates are {', '.join(config.gates)}")
        config = replace(config, gates={**config.gates, gate: replace(config.gates[gate], source=source)})
    app.run(config, arguments.until_end)
    return 0


def _head(text: str) -> bytes:
    head = bytes.fromhex(text)
    if len(head) != DIGEST_BYTES:
        raise ValueError
    return head


def _instant(text: str) -> str:
    return audit_lines.instant(text)


_head.__name__, _instant.__name__ = "head (64 hexadecimal digits)", "time"  # argparse says: invalid <name> value


def _audit(arguments: argparse.Namespace) -> int:
    store = app.open_gallery(load(arguments.config), read_only=True)
    try:
        pseudonym = audit_lines.pseudonym_of(store, arguments.person) if arguments.person is not None else None
        if not arguments.json:
            sys.stdout.write(audit_lines.HEADING + "\n")
        for line in audit_lines.lines(store, arguments.since, pseudonym, exact=arguments.json):
            sys.stdout.write(line + "\n")
    finally:
        store.close()
    return 0


def _check_audit(config: Config, head: bytes | None) -> int:
    store = app.open_gallery(config, read_only=True)
    try:
        sys.stdout.write(f"audit: {audit_lines.whole(store.audit.verify(head))}\n")
    finally:
        store.close()
    return 0


def _check(arguments: argparse.Namespace) -> int:
    if arguments.audit or arguments.head is not None:
        return _check_audit(load(arguments.config), arguments.head)
    findings = app.check(load(arguments.config))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for part, works, seen in findings:
        table.add_row("[green]✓[/]" if works else "[red]✗[/]", part, seen)
    Console(highlight=False).print(table)
    return 0 if all(works for _, works, _ in findings) else EXIT_FAILED


def _rotate_key(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    count = rotate_key(Path(config.state_dir), app.key_file(config))
    Console(highlight=False, soft_wrap=True).print(f"{count} records sealed with a new key; backups made before open only with the old one")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    config = load(arguments.config) if arguments.config else Config(site="replay", gates={"replay": GateConfig(source=arguments.source)})
    if arguments.bundle is not None:
        config = replace(config, model=replace(config.model, bundle=arguments.bundle))
    if arguments.detector is not None:
        config = replace(config, detector=replace(config.detector, kind=arguments.detector))
    if not arguments.config and not arguments.enroll:
        raise ConfigError("replay has nobody to recognise", "give --config for the gallery of a daemon, or --enroll PERSON=PHOTO.jpg")
    gate = "replay" if not arguments.config else next(iter(config.gates))
    camera = open_camera(gate, GateConfig(source=arguments.source, fps=arguments.fps))
    try:
        if camera.live:
            raise ConfigError(
                f"{arguments.source} is a live source", "replay takes a video file or a folder of pictures; `ostiaryd run` serves cameras"
            )
        if arguments.enroll:
            model = app.open_model(config)
            gallery, people = _enrolled(arguments.enroll, config, model)
        else:
            store = app.open_gallery(config, read_only=True)
            try:
                # The one that serves, unless another was asked for.
                model = app.open_model(config, app.serving_bundle(config, store) if arguments.bundle is None else None)
                gallery, people, _ = app.load_gallery(store, model)
            finally:
                store.close()
        rules = pipeline.rules(config, model.calibration, gallery.templates)
        if rules.threshold is None:
            raise ConfigError(
                f"the card has no threshold for {gallery.templates} templates at an FPIR of {config.decision.target_fpir}",
                "set decision.threshold, or a decision.target_fpir that the card resolves",
            )

        schedules = {name: schedule.schedule() for name, schedule in config.schedules.items()}

        def permit(person: str, now: float) -> Reason | None:
            # A recording's times are what they are.
            return forbids(people[person], gate, now, schedules, clock_trusted=True)

        decided = list(
            _printed(
                replay(
                    frames_of(camera),
                    open_detector(config.detector.kind, config.detector.min_face_px),
                    pipeline.limits(config, config.detector.min_face_px),
                    model.embedder,
                    gallery,
                    Gatekeeper(gate, rules, config.decision.lost_s),
                    permit,
                )
            )
        )
    finally:
        camera.close()
    Console(stderr=True, highlight=False).print(
        f"{len(decided)} decisions; {len(people)} people, {gallery.templates} templates, threshold {rules.threshold:.3f}, model {model.id}"
    )
    return 0


def _printed(decisions: Iterator[Decision]) -> Iterator[Decision]:
    for decision in decisions:
        sys.stdout.write(line(decision) + "\n")
        sys.stdout.flush()
        yield decision


def _enrolled(pairs: list[str], config: Config, model: Model) -> tuple[Gallery, dict[str, Person]]:
    """A gallery of photos, judged as an enrolment command judges them. Raises ConfigError for a photo that would be refused."""
    detector, limits = (
        open_detector(config.detector.kind, config.detector.min_face_px),
        pipeline.limits(config, config.enrolment.min_face_px),
    )
    gallery, people = Gallery(model.dimension), {}
    for number, (person, path) in enumerate(_pairs(pairs, "--enroll", "PERSON=JPEG"), 1):
        try:
            crop = enrolment_crop(Path(path).read_bytes(), 1, detector, limits)
        except (OSError, EnrolError) as error:
            raise ConfigError(
                f"--enroll {person}={path}: {error}", "a JPEG photo that shows one face, upright, sharp and well lit"
            ) from None
        gallery.add(number, person, model.embedder.embed(np.stack([crop]))[0])
        people[person] = Person(person)
    return gallery, people


def _pairs(texts: list[str], option: str, form: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, found, value = text.partition("=")
        if not (found and name and value):
            raise ConfigError(
                f"{option} {text}: not of the form {form}",
                f"for instance {option} {form.replace('JPEG', 'photo.jpg').replace('SOURCE', 'clip.mkv')}",
            )
        pairs.append((name, value))
    return pairs


if __name__ == "__main__":
    sys.exit(main())
