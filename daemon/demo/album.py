"""The pictures that the demo makes: an annotated video, and one sheet that shows the acts below one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from daemon.core.values import Image
from daemon.demo.frames import FPS, HEIGHT, WIDTH
from daemon.demo.stage import Taken
from daemon.edges.film import open_film

THUMB = (320, 240)
BAR_PX = 30
COLOURS = {"accept": (50, 120, 20), "reject": (40, 40, 190), "unknown": (10, 105, 170), "": (60, 60, 60)}
"""Each is dark enough for white letters."""
PAPER, INK, WHITE, GAP_PX = (250, 250, 250), (25, 25, 25), (255, 255, 255), 8


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision that was heard: when it was published and captured (UTC seconds), what it says."""

    at: float
    captured_at: float
    verdict: str
    text: str


@dataclass(frozen=True, slots=True)
class Act:
    """One scene of the story: its title, when it began and ended (UTC seconds), and the answers heard in it."""

    title: str
    began: float
    ended: float
    answers: tuple[Answer, ...]


def annotated(taken: Taken, act: Act) -> Image:
    """The picture with a frame around its face in the colour of the answer so far, the act's title above and the answer in a bar below."""
    picture, colour, text = _framed(taken, act)
    _bar(picture[:BAR_PX], act.title, INK)
    _bar(picture[HEIGHT - BAR_PX :], text, colour)
    return picture


def _framed(taken: Taken, act: Act) -> tuple[Image, tuple[int, int, int], str]:
    """The picture with a frame around its face, the colour of the answer so far, and the answer in words."""
    picture = np.array(cv2.imdecode(np.frombuffer(taken.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    answer = next((a for a in reversed(act.answers) if a.at <= taken.at), None)
    colour = COLOURS[answer.verdict if answer else ""]
    if taken.face is not None:
        box = taken.face
        corners = (round(box.x), round(box.y)), (round(box.x + box.width), round(box.y + box.height))
        for thick, shade in ((7, WHITE), (3, colour)):
            cv2.rectangle(picture, *corners, shade, thick)
    return picture, colour, answer.text if answer else "no answer yet" if taken.face is not None else "nobody is there"


def write_video(path: Path, taken: Sequence[Taken], acts: Sequence[Act]) -> None:
    """A film of all acts. Raises FilmError when it cannot be written."""
    film = open_film(path, FPS, WIDTH, HEIGHT)
    for act in acts:
        for shot in _shots(taken, act):
            film.write(annotated(shot, act))
    film.close()


def write_sheet(path: Path, taken: Sequence[Taken], acts: Sequence[Act]) -> None:
    """A PNG with four pictures of each act. Raises OSError when it cannot be written."""
    rows = []
    for number, act in enumerate(acts, 1):
        shots = [shot for shot in _shots(taken, act) if shot.face is not None]
        if not shots:
            continue
        last = act.answers[-1].at if act.answers else act.ended
        before = [shot for shot in shots if shot.at < last] or shots
        after = [shot for shot in shots if shot.at >= last] or shots[-1:]
        chosen = [before[len(before) // 4], before[len(before) * 2 // 3], after[0], after[len(after) // 3]]
        strip = np.hstack([_edged(_thumb(shot, act)) for shot in chosen])
        head = np.full((BAR_PX + GAP_PX, strip.shape[1], 3), PAPER, np.uint8)
        title = f"{number}  {act.title}: {act.answers[-1].text if act.answers else 'no answer'}"
        _write(head, title, (GAP_PX, BAR_PX - 4), 0.7, INK)
        rows += [head, strip]
    if not rows or not cv2.imwrite(str(path), np.vstack(rows)):
        raise OSError(f"{path} cannot be written")


def _shots(taken: Sequence[Taken], act: Act) -> list[Taken]:
    return [shot for shot in taken if act.began <= shot.at <= act.ended]


def _thumb(shot: Taken, act: Act) -> Image:
    """A small picture with the answer so far below it, in letters that were not made smaller with the picture."""
    picture, colour, text = _framed(shot, act)
    bar = np.empty((BAR_PX, THUMB[0], 3), np.uint8)
    _bar(bar, text, colour)
    return np.vstack([np.asarray(cv2.resize(picture, THUMB, interpolation=cv2.INTER_AREA), np.uint8), bar])


def _edged(image: Image) -> Image:
    return np.asarray(cv2.copyMakeBorder(image, 0, GAP_PX, GAP_PX, GAP_PX, cv2.BORDER_CONSTANT, value=PAPER), np.uint8)


def _bar(place: Image, text: str, colour: tuple[int, int, int]) -> None:
    place[:] = colour
    _write(place, text, (10, BAR_PX - 9), 0.6, WHITE)


def _write(picture: Image, text: str, place: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
