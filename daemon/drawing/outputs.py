"""The options of `ostiaryd replay` that draw, and the files they write: no file is overwritten unasked, and only its owner may read it."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from daemon.config import ConfigError
from daemon.core.counts import counted
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.passages.traces import Moment
from daemon.core.values import Frame, Image, View
from daemon.drawing.annotate import Easel
from daemon.drawing.pace import USUAL_FPS, Pace, rate
from daemon.drawing.page import About, render
from daemon.drawing.trace import Tracer, Witness
from daemon.edges.files import placed
from daemon.edges.film import KINDS, Film, open_film

PAGES = (".html", ".htm")
FIRST_FRAMES = 13
"""The number of frames that choose the rate of the film."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, as `ostiaryd replay` knows them."""
    parser.add_argument("--annotate", type=Path, metavar="MP4|WEBM", help="write a video of what the gate saw")
    parser.add_argument(
        "--page", type=Path, metavar="HTML", help="write one HTML file to judge the replay by: timeline, similarities, faces"
    )
    parser.add_argument("--no-faces", action="store_true", help="a --page without pictures of anybody")
    parser.add_argument("--force", action="store_true", help="let --annotate and --page overwrite files that exist")


def check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be done before the recording is read. Raises ConfigError."""
    annotate, page = arguments.annotate, arguments.page
    if annotate is None and page is None:
        return
    if arguments.policy is not None:
        raise ConfigError("--policy compares two sets of rules, but --page and --annotate show one", "give --config instead of --policy")
    if arguments.no_faces and annotate is not None:
        raise ConfigError(
            "--no-faces is about --page only: an annotated video shows the faces of the recording", "leave out --no-faces or --annotate"
        )
    if annotate is not None and annotate.suffix.lower() not in KINDS.split(" or "):
        raise ConfigError(f"--annotate {annotate}: not a kind of video that can be written", f"give a name that ends in {KINDS}")
    if page is not None and page.suffix.lower() not in PAGES:
        raise ConfigError(f"--page {page}: not the name of a page", "give a name that ends in .html")
    source = Path(arguments.source.removeprefix("file://"))
    for option, path in (("--annotate", annotate), ("--page", page)):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise ConfigError(f"{option} {path}: there is no folder {path.parent}", "create the folder, or give another name")
        if path.exists() and source.exists() and path.samefile(source):
            raise ConfigError(f"{option} {path} is the recording itself", "give another name: recordings are never overwritten")
        if path.is_dir():
            raise ConfigError(f"{option} {path} is a folder", "give the name of a file")
        if os.path.lexists(path) and not arguments.force:
            raise ConfigError(f"{option} {path}: there is a file already", "give another name, or --force to overwrite it")


@contextmanager
def witnesses(arguments: argparse.Namespace, rules: Rules, about: About) -> Iterator[list[Witness]]:
    """The witnesses that the options ask for. When the block ends without an error, their files are in place (mode 0600); else none is.

    Raises FilmError, and FileError for a disk that fails.
    """
    with ExitStack() as stack:
        found: list[Witness] = []
        if arguments.page is not None:
            file = stack.enter_context(placed(arguments.page, arguments.force))
            tracer = Tracer(not arguments.no_faces)
            stack.enter_context(_page(file, arguments.page, tracer, about))
            found.append(tracer)
        if arguments.annotate is not None:
            file = stack.enter_context(placed(arguments.annotate, arguments.force))
            found.append(stack.enter_context(_annotated(file, arguments.annotate, rules)))
        yield found


@contextmanager
def _page(file: BinaryIO, path: Path, tracer: Tracer, about: About) -> Iterator[None]:
    yield
    file.write(render(tracer, about).encode())
    if tracer.faces:
        _say(f"{path}: it shows faces of people; protect it as you protect the recording (--no-faces leaves them out)")


@contextmanager
def _annotated(file: BinaryIO, path: Path, rules: Rules) -> Iterator["Annotator"]:
    # The library needs a name with the right ending. In a folder of our own nobody else can read the unfinished file.
    folder = Path(tempfile.mkdtemp(prefix=".annotated-", dir=path.parent))
    annotator = Annotator(folder / f"film{path.suffix.lower()}", rules)
    try:
        yield annotator
        film = annotator.finish()
        with film.path.open("rb") as made:
            shutil.copyfileobj(made, file)
        said = f"{film.codec}, {counted(film.frames, 'picture')} at {film.fps:g} a second"
        _say(f"{path}: {said}; it shows faces of people; protect it as you protect the recording")
    finally:
        if annotator.film is not None:
            annotator.film.abandon()
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


@dataclass(slots=True)
class Annotator:
    """A witness that draws every frame into a film at `path`, which is opened when the rate of the first few frames is known."""

    path: Path
    rules: Rules
    film: Film | None = None
    _easel: Easel | None = None
    _pace: Pace | None = None
    _waiting: list[tuple[float, Image]] = field(default_factory=list)
    _first_s: float = 0.0

    def decided(self, decision: Decision) -> None:
        """Nothing to do: the moments contain the answers."""

    def saw(self, frame: Frame, view: View, moments: Sequence[Moment]) -> None:
        """Draw a frame. Raises FilmError when the film cannot be opened."""
        if self._easel is None:
            self._easel, self._first_s = Easel(frame.image.shape[1], frame.image.shape[0]), frame.at_s
        drawn = self._easel.draw(frame.image, frame.at_s - self._first_s, frame.number, moments, self.rules)
        self._waiting.append((frame.at_s, drawn))
        if self._pace is not None or len(self._waiting) == FIRST_FRAMES:
            self._write()

    def finish(self) -> Film:
        """The completed film. Raises FilmError, and ConfigError for a recording without a frame."""
        if self._easel is None:
            raise ConfigError("the recording has no frame to draw on", "check that the source is a recording")
        self._write()
        film, pace = self._opened()
        for at_s, drawn in self._waiting:
            self._show(film, drawn, pace.copies(at_s, at_s + 1 / pace.fps))
        film.close()
        return film

    def _opened(self) -> tuple[Film, Pace]:
        if self.film is None or self._pace is None:
            assert self._easel is not None
            fps = rate([at_s for at_s, _ in self._waiting]) if len(self._waiting) > 1 else USUAL_FPS
            self.film, self._pace = open_film(self.path, fps, *self._easel.size), Pace(fps)
        return self.film, self._pace

    def _write(self) -> None:
        """Write all frames except the last: how long it is shown is known when the next one comes."""
        film, pace = self._opened()
        while len(self._waiting) > 1:
            (at_s, drawn), (next_s, _) = self._waiting[:2]
            self._show(film, drawn, pace.copies(at_s, next_s))
            del self._waiting[0]

    def _show(self, film: Film, drawn: Image, count: int) -> None:
        for _ in range(count):
            film.write(drawn)
