"""What runs in a process of its own, to be killed: forked from a server that has everything imported, so that a round takes no second."""

import resource
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from daemon.core.tapes.frames import FrameEncoder
from daemon.core.tapes.tape import Bounds
from daemon.core.values import Frame
from daemon.edges.recorder import Recorder, Shelf
from daemon.edges.store import back_up, restore, rotate_key, sealed_file
from daemon.edges.store.sealed_file import Cost
from tests.faults.faces import open_desk
from tests.fixtures.desk import NOW, TOPIC
from tests.fixtures.frames import camera

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.children"])
PASSPHRASE = "six words drawn by dice"
CHEAP = Cost(4, 8, 1)

Sent = list[Any]


def serve(answers: Connection, folder: Path, commands: list[tuple[bytes, float]]) -> None:
    """Deal with commands, and decide between them; each is told when the daemon would have acknowledged it."""
    answers.send("begun")
    desk = open_desk(folder)
    answers.send("open")
    for number, (payload, now) in enumerate(commands):
        answer = desk.handle("north", "t", payload, False, now, TOPIC)
        if answer.durable:  # type: ignore[union-attr]
            answers.send(("answer", number, answer.encoded))  # type: ignore[union-attr]
        if number % 3 == 0:
            with desk.store.transaction():
                sequence = desk.store.next_sequence("north")
                desk.store.enqueue("north", "decision", b"%d" % sequence, now)
            answers.send(("decision", sequence))
    answers.send("all done")
    answers.recv()


def rotate(answers: Connection, folder: Path) -> None:
    """One new key after the other."""
    for number in count():
        answers.send(number)
        rotate_key(folder)


def replace_again_and_again(answers: Connection, folder: Path, backup: Path) -> None:
    """One restoring after the other, in place of the one before."""
    sealed_file.COST = CHEAP
    for number in count():
        answers.send(number)
        restore(folder, backup, PASSPHRASE, 5_000.0 + number, replace=True)


def restore_once(answers: Connection, folder: Path, backup: Path) -> None:
    """Into an empty folder."""
    sealed_file.COST = CHEAP
    answers.send("begun")
    restore(folder, backup, PASSPHRASE, 5_000.0)


def back_up_again_and_again(answers: Connection, folder: Path, backup: Path) -> None:
    """One backup over the other."""
    sealed_file.COST = CHEAP
    for number in count():
        answers.send(number)
        back_up(folder, backup, PASSPHRASE, float(number), force=True)


def on_a_disk_that_fills(answers: Connection, folder: Path, payloads: dict[str, bytes]) -> None:
    """Commands before, while and after the disk takes nothing more, as the file-size limit of this process plays it."""
    desk = open_desk(folder)

    def deal(name: str) -> None:
        answer = desk.handle("north", "t", payloads[name], False, NOW, TOPIC)
        answers.send((name, answer.result, answer.durable, sorted(desk.current.people), desk.current.serving.gallery.people))  # type: ignore[union-attr]

    deal("before")
    deal("also before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    deal("enrol on the full disk")
    deal("suspend on the full disk")
    deal("revoke on the full disk")
    answers.send(("probe", str(desk.store.revision())))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    deal("revoke on the full disk")
    deal("enrol on the full disk")
    desk.store.close()


def killed(target: Any, *arguments: object, after_s: float) -> Sent:
    """What the child said before SIGKILL ended it, so many seconds after its first word. A child that fails by itself is an error."""
    ours, theirs = CONTEXT.Pipe()
    child = CONTEXT.Process(target=target, args=(theirs, *arguments))
    child.start()
    theirs.close()
    sent = [ours.recv()]
    child.join(after_s)
    child.kill()
    child.join()
    code = child.exitcode
    child.close()
    assert code in (-9, 0), f"the child ended with {code}"
    try:
        while True:
            sent.append(ours.recv())
    except (EOFError, ConnectionResetError):
        ours.close()
        return sent


def record_for_ever(answers: Connection, folder: Path, key: bytes) -> None:
    """Frames to a recorder's tapes; each is told when it has been offered."""
    shelf = Shelf(folder, key, Bounds(10**9, 1e9, 30_000, 1e9), "frames", 0)
    one: Recorder[Frame] = Recorder(shelf, FrameEncoder, lambda frame: frame.captured_at)
    one.start()
    answers.send("begun")
    for frame in camera():
        while not one.offer("north", frame, 1 << 22):
            pass
        answers.send(frame.number)
