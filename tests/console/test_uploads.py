"""Pictures that people upload: any usual format, upright, small, nothing of them on a disk; and what is no picture, or a bomb."""

import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from daemon.core import messages as m
from tests.console.conftest import Rig, until
from tests.fixtures import bombs
from tests.fixtures.fake_gate import FakeGate

pytestmark = pytest.mark.broker


def picture(kind: str = "JPEG", size: tuple[int, int] = (640, 480), turned: int | None = None, **more: Any) -> bytes:
    """A picture whose upper left quarter is white, with somebody's address in its metadata."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2, : size[0] // 2] = 255
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = "SECRET STREET 7"
    if turned is not None:
        exif[0x0112] = turned
    image = Image.fromarray(pixels)
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    image.save(file, kind, exif=exif.tobytes(), **more)
    return file.getvalue()


def upload(client: httpx.Client, *files: tuple[str, bytes], **fields: Any) -> httpx.Response:
    return client.post("/api/people/E1/pictures", files=[("pictures", one) for one in files], data=fields)


def sent(gate: FakeGate) -> m.Enroll:
    return next(one for one in reversed(gate.commands) if isinstance(one, m.Enroll))


@pytest.fixture
def client(rig: Rig) -> Iterator[httpx.Client]:
    yield rig.logged_in("admin")


def test_every_usual_format_comes_to_the_gate_as_a_small_upright_jpeg_without_metadata(client: httpx.Client, gate: FakeGate) -> None:
    kinds = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF")
    files = [(f"a.{kind.lower()}", picture(kind)) for kind in kinds]
    answer = upload(
        client, *files, ("big.jpg", picture(size=(6000, 4000), turned=6)), name="Ada", gates=["north"], consent="paper 7", schedule=""
    )
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert [one["taken"] for one in said["pictures"]] == [True] * 6, said
    assert said["answers"][0]["status"] == "done"
    command = sent(gate)
    assert (command.name, command.gates, command.consent, command.schedule) == ("Ada", ["north"], "paper 7", None)
    for jpeg in command.images or ():
        assert b"SECRET" not in jpeg and b"Exif" not in jpeg
        image = Image.open(io.BytesIO(jpeg))
        assert image.format == "JPEG" and max(image.size) <= 2400
    turned = Image.open(io.BytesIO((command.images or [])[-1])).convert("L")
    assert turned.height > turned.width and turned.getpixel((turned.width - 9, 9)) == 255 and turned.getpixel((9, 9)) == 0
    assert len(m.encode(command)) <= m.MAX_PAYLOAD_BYTES


def test_ten_large_pictures_fit_into_one_command(client: httpx.Client, gate: FakeGate) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1500, 1000, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=90)
    assert upload(client, *[(f"{n}.jpg", file.getvalue()) for n in range(m.MAX_IMAGES)]).status_code == 200
    assert len(sent(gate).images or ()) == m.MAX_IMAGES and len(m.encode(sent(gate))) <= m.MAX_PAYLOAD_BYTES
    answer = upload(client, *[(f"{n}.jpg", b"x") for n in range(m.MAX_IMAGES + 1)])
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def pixel_bomb(kind: str) -> bytes:
    """A file that is small, and 256 million pixels large."""
    file = io.BytesIO()
    if kind == "TIFF":
        Image.new("1", (16_000, 16_000)).save(file, kind, compression="group4")
        return file.getvalue()
    Image.new("RGB", (8, 8)).save(file, "WEBP", lossless=True)
    data = bytearray(file.getvalue())
    at = data.index(b"VP8L") + 9  # behind the signature: 14 bits of the width, 14 bits of the height
    data[at : at + 4] = (16_000 - 1 | (16_000 - 1) << 14).to_bytes(4, "little")
    return bytes(data)


def test_bombs_are_refused_in_words_and_the_others_go_on(client: httpx.Client, gate: FakeGate) -> None:
    files = {
        "scans.jpg": bombs.scan_bomb(3000), "png.png": bombs.png_bomb(), "tiff.tiff": pixel_bomb("TIFF"), "webp.webp": pixel_bomb("WEBP"),
        "claims.jpg": bombs.claiming(bombs.jpeg(), width=65_000, height=65_000), "text.jpg": b"<script>alert(1)</script>", "empty.png": b"",
        "cut.png": picture("PNG")[:300], "good.jpg": picture(),
    }  # fmt: skip
    answer = upload(client, *files.items())
    said = {one["file"]: one for one in answer.json()["pictures"]}
    assert [name for name, one in said.items() if one["taken"]] == ["good.jpg"], said
    assert all(one["words"] for one in said.values()) and "scans" in said["scans.jpg"]["words"]
    assert len(sent(gate).images or ()) == 1
    nothing = upload(client, ("a.jpg", b"x"))
    assert nothing.status_code == 422 and nothing.json()["pictures"][0]["taken"] is False


def test_names_of_files_are_only_text(client: httpx.Client) -> None:
    for name, shown in (
        ("../../etc/passwd", "passwd"),
        ("<img onerror=x>.jpg", "<img onerror=x>.jpg"),
        ("a\x00b.jpg", None),
        ("ü\u202e.jpg", None),
    ):
        answer = upload(client, (name, b"x"))
        assert "pictures" in answer.json(), answer.text
        (one,) = answer.json()["pictures"]
        assert shown is None or one["file"] == shown
        assert one["file"].isprintable()


@pytest.mark.parametrize(
    "fields", [{"valid_until": "soon"}, {"nam": "x"}, {"schedule": "x" * 65}, {"at": "a/b"}, {"force": "perhaps"}, {"gates": ["#"]}]
)
def test_fields_that_cannot_be_used_are_named(client: httpx.Client, fields: dict[str, Any], gate: FakeGate) -> None:
    answer = upload(client, ("a.jpg", picture()), **fields)
    assert answer.status_code == 422 and next(iter(fields)) in answer.json()["error"]
    assert not [one for one in gate.commands if isinstance(one, m.Enroll)]


def test_forms_that_are_none_or_too_much_are_refused(client: httpx.Client) -> None:
    post = client.post
    where = "/api/people/E1/pictures"
    head = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n'
    bomb = part * 100_000 + b"--b--\r\n"
    for content, headers, status in (
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"", {"Content-Type": "multipart/form-data"}, 415),
        (b"--b\r\n", head, 400),
        (part, head, 400),
        (b"--b\r\n\r\nx\r\n--b--\r\n", head, 400),
        (bomb, head, 413),
        (b"--b\r\n" + b"X: y\r\n" * 12 + b"\r\nx\r\n--b--\r\n", head, 400),
        (b"--b\r\n" + b"X: y\r\n" * 50_000 + b"\r\nx\r\n--b--\r\n", head, 400),
        (b'--b\r\nContent-Disposition: form-data; name="' + b"n" * 100_000 + b'"\r\n\r\nx\r\n--b--\r\n', head, 400),
        (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + b"x" * 100_000 + b"\r\n--b--\r\n", head, 413),
    ):
        answer = post(where, content=content, headers=headers)
        assert answer.status_code == status, (status, answer.status_code, content[:60], answer.text)


def test_nothing_of_a_picture_is_on_the_disk_nor_left_behind(client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file that the console's process opens for writing while pictures come is watched."""
    written: list[Any] = []
    on = threading.Event()
    on.set()

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if on.is_set() and event in ("open", "tempfile.mkstemp", "tempfile.mkdtemp", "shutil.copyfile"):
            flags = args[2] if event == "open" else os.O_WRONLY
            if (
                isinstance(flags, int)
                and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                and isinstance(args[0], str)
                and args[0] != "/dev/null"
            ):
                written.append((event, args))

    sys.addaudithook(watch)
    try:
        assert upload(client, *[(f"{n}.png", picture("PNG", (1500, 1000), compress_level=0)) for n in range(2)]).status_code == 200
    finally:
        on.clear()
    assert not written, written


def test_a_process_for_pictures_reaches_nothing_else() -> None:
    """What a broken decoder could do in it: no file, no socket, no other program."""
    import subprocess

    code = (
        "import sys, os, socket; from daemon.console import picture_worker as w; w._confine()\n"
        "for wish in (lambda: open('/etc/hostname'), lambda: open('/tmp/x', 'w'), lambda: socket.socket(), lambda: os.pipe()):\n"
        "    try: wish(); print('could')\n"
        "    except OSError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 4


def test_where_boxes_share_their_people_one_gate_enrols_for_all(rig: Rig, client: httpx.Client, gate: FakeGate, broker: int) -> None:
    numbers = dict.fromkeys(("records", "people", "disputed", "waiting", "old_key"), 0)
    shared: dict[str, Any] = {**numbers, "name": "n", "sum": "0" * 64, "head": 1, "head_age_s": 1.0, "exchange_key": "k"}
    with FakeGate(broker, "south") as south:
        south.status(roster=m.RosterStatus(**shared, standing="complete"))
        until(lambda: len(rig.console.state.statuses) == 2)
        assert {one["gate"] for one in upload(client, ("a.jpg", picture())).json()["answers"]} == {"north", "south"}
        gate.status(roster=m.RosterStatus(**shared, standing="stale"))
        until(lambda: rig.console.state.statuses["north"].roster is not None)
        assert [one["gate"] for one in upload(client, ("b.jpg", picture())).json()["answers"]] == ["south"]
