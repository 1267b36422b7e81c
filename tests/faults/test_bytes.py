"""A byte search of every file of the state folder and of a backup: no vector, no crop, no name; after a revocation no number but one."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from daemon.commands.answers import Answer
from daemon.edges.store import Store, back_up, sealed_file
from tests.faults.children import CHEAP, PASSPHRASE
from tests.faults.faces import open_desk, vector_of
from tests.fixtures.desk import NOW, TOPIC, command

WINDOW = 16
PERSON, NAME, CONSENT = "E-10421042", "Ada Königin von Lovelace", "cabinet 7, folder of 2027"


def noisy(seed: int) -> bytes:
    """A picture of face 3 in which no 16 bytes are like others."""
    noise = np.random.default_rng(seed).integers(-20, 21, (100, 140, 3))
    image = np.zeros((100, 140, 3), np.int64)
    image[:, 20:120] = (128, 100, 88)
    image[:, 20:120] += noise[:, 20:120]
    return cv2.imencode(".jpg", image.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def windows(content: bytes) -> set[bytes]:
    """Any 16 bytes in a row that say something."""
    found = (content[i : i + WINDOW] for i in range(len(content) - WINDOW + 1))
    return {window for window in found if len(set(window)) > 4}


def secrets(store: Store) -> set[bytes]:
    """Every window of what must be seen nowhere."""
    known: set[bytes] = set()
    for template in store.templates():
        crop = cv2.imdecode(np.frombuffer(template.crop, np.uint8), cv2.IMREAD_COLOR)
        assert crop is not None
        for vector in (vector_of(template), vector_of(template).astype(np.float64), vector_of(template).astype(">f4")):
            known |= windows(vector.tobytes())
        for picture in (template.crop, crop.tobytes(), crop[:, :, ::-1].tobytes()):
            known |= windows(picture)
    for text in (NAME, CONSENT):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be", "latin-1"):
            known |= windows(text.encode(encoding))
    return known


def seen(folder: Path, known: set[bytes]) -> list[str]:
    """Where any of it stands."""
    return [
        f"{path.name}: {window!r}"
        for path in folder.rglob("*")
        if path.is_file()
        for window in windows(path.read_bytes())
        if window in known
    ]


def mentions(folder: Path) -> int:
    return sum(path.read_bytes().count(PERSON.encode()) for path in folder.iterdir())


def test_nothing_that_shows_or_names_somebody_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_file, "COST", CHEAP)
    folder, known = tmp_path / "state", set[bytes]()
    desk = open_desk(folder)

    def send(op: str, pictures: list[bytes] | None, issued: float, **more: Any) -> None:
        answer = desk.handle("north", "t", command(op, PERSON, pictures, issued=issued, **more), False, NOW + issued, TOPIC)
        assert isinstance(answer, Answer) and answer.result.status == "done", answer

    send("enroll", [noisy(1), noisy(2)], 0, name=NAME, consent=CONSENT)
    send("enroll", [noisy(3)], 1)
    known = secrets(desk.store)
    assert len(known) > 100_000
    vector, (template, *_) = desk.current.serving.gallery.vectors_of(PERSON)[0], desk.store.templates()
    for plain in (vector[3:9].tobytes(), template.crop[1000:1017], NAME.encode("utf-16-le"), CONSENT.encode()):
        (folder / "plain").write_bytes(b"....." + plain)
        assert seen(folder, known), "the search finds what is there"
    (folder / "plain").unlink()
    files = {"gallery.sqlite", "gallery.sqlite-wal", "gallery.sqlite-shm", "key", "lock"}
    assert {p.name for p in folder.iterdir()} == files
    assert not seen(folder, known)
    send("suspend", None, 2)
    send("update", None, 3, name=NAME.upper())
    known |= windows(NAME.upper().encode())
    back_up(folder, folder / "backup", PASSPHRASE, NOW)
    assert not seen(folder, known) and mentions(folder) > 0
    assert PERSON.encode() not in (folder / "backup").read_bytes()
    key = (folder / "key").read_bytes().strip()
    assert not [
        p.name for p in folder.iterdir() if p.name != "key" and (key in p.read_bytes() or bytes.fromhex(key.decode()) in p.read_bytes())
    ]
    sealed: set[bytes] = set()
    for table in ("templates", "crops", "vectors", "people"):
        for (blob,) in desk.store.database.connection.execute(f"SELECT sealed FROM {table}").fetchall():
            sealed |= windows(bytes(blob))
    assert seen(folder, sealed)

    send("revoke", None, 4)
    (folder / "backup").unlink()  # whose erasure is the operator's
    assert not seen(folder, known | sealed), "not even what was sealed"
    # What stays is the number, once, beside the sealed time of the last order: older commands stay superseded by it.
    assert mentions(folder) == 1
    desk.store.close()
    desk = open_desk(folder)
    assert not seen(folder, known | sealed) and mentions(folder) == 1
    assert desk.store.database.connection.execute("SELECT person FROM orders WHERE person != '*'").fetchall() == [(PERSON,)]
    desk.store.close()
