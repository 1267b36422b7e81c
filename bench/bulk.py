"""A thousand people by `ostiaryctl enroll --csv` at a real gate with the bundled model, interrupted by Ctrl-C and killed on the way.

    OSTIARY_DATA=data python -m bench.bulk [--people 1000] [--keep FOLDER]

The people are those of LFW DevTest (a data set whose pictures are not committed), one or two pictures each. Among them are pictures without
a face, with two, too small, dark, cut short, in HEIC and of 21 megapixels, and faces that others have already.
"""

import argparse
import json
import os
import pty
import re
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from daemon.core.values import Image
from tests.conftest import ROOT
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.running import configure, ctl, daemon_running, result

CTL = [sys.executable, "-m", "daemon.ctl.__main__"]
EVERY = 40
"""One of so many people has a picture of each of the kinds below."""


def main() -> None:
    parser = argparse.ArgumentParser("bench.bulk")
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--keep", type=Path, help="work in this new folder, and leave it")
    options = parser.parse_args()
    data = Path(os.environ["OSTIARY_DATA"])
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        place.mkdir(exist_ok=True)
        write(data / "faces" / "devtest.zip", options.people, place)
        with Mosquitto(place, persistent=True) as broker:
            config = configure(place, broker.port, empty_room(place))
            with daemon_running(config) as daemon:
                measure(config, options.people, place, daemon.pid)


def measure(config: Path, count: int, place: Path, daemon: int) -> None:
    console = Console(highlight=False, width=140)
    table, report = place / "people.csv", place / "report.csv"
    command = [*CTL, "enroll", "--csv", str(table), "--report", str(report), "--config", str(config)]
    began_s, cpu_s = time.monotonic(), cpu(daemon)
    parts = []
    for stop, share in ((signal.SIGINT, 0.3), (signal.SIGKILL, 0.6), (None, 1.0)):
        status, screen = on_screen(command, partial(is_through, table, share * count), stop)
        parts.append(f"{stop.name if stop else 'end'} at {noted(table)}, exit {status}")
        (place / f"screen-{len(parts)}.txt").write_text(screen)
    took_s, cpu_s = time.monotonic() - began_s, cpu(daemon) - cpu_s
    console.print(last_screen(screen))
    console.print(
        f"{'; '.join(parts)}; {took_s:.0f} s in all, {count / took_s:.1f} people a second, {1000 * cpu_s / count:.0f} ms of the daemon each"
    )
    listed = result(ctl(config, "list"))
    people = listed["people"]
    assert isinstance(people, list)
    done = sum(json.loads(line).get("status") == "done" for line in journal(table).read_text().splitlines())
    console.print(
        f"enrolled {len(people)}, answered done {done}, changes of the gallery {listed['gallery_revision']}: all the same is nothing twice"
    )
    assert len(people) == done == listed["gallery_revision"]


def on_screen(command: list[str], is_time: Callable[[], bool], stop: signal.Signals | None) -> tuple[int, str]:
    """Run it at a terminal, and send it a signal when it is time. Returns its exit status and what it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
        os.environ.update(COLUMNS="120", LINES="40", TERM="xterm")
        os.execv(command[0], command)
    screen = bytearray()
    while True:
        try:
            screen += os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            break
        if stop is not None and is_time():
            os.kill(pid, stop)
            stop = None
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode("utf-8", "replace")


def last_screen(screen: str) -> str:
    """What is left on the screen at the end: the bar has wiped itself away."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.rpartition("\x1b[2K")[2])
    return plain.replace("\r", "").strip()


def journal(table: Path) -> Path:
    return table.with_name(f"{table.name}.progress")


def noted(table: Path) -> int:
    """How many answers have come."""
    path = journal(table)
    return path.read_bytes().count(b'"status"') if path.exists() else 0


def is_through(table: Path, answers: float) -> bool:
    return noted(table) >= answers


def cpu(pid: int) -> float:
    """Processor seconds of a process and its children."""
    ticks = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu(int(child)) for child in children)


# ---- people


def empty_room(place: Path) -> Path:
    """A source for the gate, in which nobody comes."""
    folder = place / "room"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.full((480, 640, 3), 90, np.uint8))
    return folder


def write(archive: Path, count: int, place: Path) -> None:
    """A CSV file of so many people, and their pictures."""
    photos = place / "photos"
    photos.mkdir()
    lines = ["person;name;photos;valid_until"]
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))
        groups = [list(group) for _, group in groupby(names, key=lambda name: name.rsplit("/", 1)[0])]
        assert len(groups) >= count, f"{archive} has {len(groups)} people"
        for number, crops in enumerate(groups[:count]):
            pictures = [portrait(file.read(name)) for name in crops[:2]]
            paths = [saved(photos / f"{number:04d}", kind(number), pictures, portrait(file.read(groups[number - 1][0])))]
            if len(pictures) > 1 and number % 3 == 0:
                paths.append(saved(photos / f"{number:04d}-2", "jpg", pictures[1:], pictures[0]))
            lines.append(f'E{number:04d};"Person {number}";"{";".join(str(path.relative_to(place)) for path in paths)}";2027-03-31')
    (place / "people.csv").write_text("\r\n".join(lines), "utf-8-sig")


def kind(number: int) -> str:
    """What kind of picture somebody has."""
    kinds = ("no face", "two faces", "small", "dark", "cut", "heic", "png", "large", "double", "text")
    return kinds[number // EVERY % len(kinds)] if number % EVERY == EVERY - 1 else "jpg"


def portrait(crop: bytes) -> Image:
    """An aligned crop as a photo: larger, with what is around it blurred."""
    decoded = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    face = cv2.resize(decoded, (336, 336), interpolation=cv2.INTER_CUBIC)
    picture = cv2.GaussianBlur(cv2.copyMakeBorder(face, 120, 120, 120, 120, cv2.BORDER_REPLICATE), (0, 0), 9)
    picture[120:-120, 120:-120] = face
    return np.asarray(picture, np.uint8)


def saved(path: Path, what: str, pictures: list[Image], neighbour: Image) -> Path:
    """Write the first of the pictures as such a file."""
    picture = pictures[0]
    match what:
        case "no face":
            picture = np.full_like(picture, 120)
        case "two faces":
            picture = np.hstack([picture, neighbour])
        case "small":
            picture = np.asarray(cv2.resize(picture, None, fx=0.08, fy=0.08, interpolation=cv2.INTER_AREA), np.uint8)
        case "dark":
            picture = (picture * 0.1).astype(np.uint8)
        case "large":
            picture = np.asarray(cv2.resize(picture, (4_608, 4_608), interpolation=cv2.INTER_CUBIC), np.uint8)
        case "double":
            picture = neighbour
    ending = ".heic" if what == "heic" else ".PNG" if what == "png" else ".jpg"
    path = path.with_name(path.name + ending)
    if what == "heic":
        heif(path, np.asarray(picture, np.uint8))
    elif what == "text":
        path.write_text("not a picture")
    else:
        cv2.imwrite(str(path), picture)
    if what == "cut":
        path.write_bytes(path.read_bytes()[:4_000])
    return path


def heif(path: Path, picture: Image) -> None:
    import pillow_heif
    from PIL import Image as pillow

    pillow_heif.register_heif_opener()
    pillow.fromarray(picture[:, :, ::-1]).save(path, "HEIF", quality=90)


if __name__ == "__main__":
    main()
