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
COLOURS = {"accept": (70, 160, 40), "reject": (40, 40, 190), "unknown": (30, 150, 210), "": (90, 90, 90)}


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


def annotated(taken: Taken, act: Act, title: bool = True) -> Image:
    """The picture with a frame around its face in the colour of the answer so far, and the answer in a bar below."""
    picture = np.array(cv2.imdecode(np.frombuffer(taken.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    answer = next((a for a in reversed(act.answers) if a.at <= taken.at), None)
    colour = COLOURS[answer.verdict if answer else ""]
    if taken.face is not None:
        box = taken.face
        cv2.rectangle(picture, (round(box.x), round(box.y)), (round(box.x + box.width), round(box.y + box.height)), colour, 2)
    cv2.rectangle(picture, (0, HEIGHT - BAR_PX), (WIDTH, HEIGHT), colour, -1)
    text = answer.text if answer else "no answer yet" if taken.face is not None else "nobody is there"
    _write(picture, text, (10, HEIGHT - 9), 0.6)
    if title:
        _write(picture, act.title, (10, 24), 0.6)
    return picture


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
        strip = np.hstack([cv2.resize(annotated(shot, act, title=False), THUMB, interpolation=cv2.INTER_AREA) for shot in chosen])
        head = np.full((BAR_PX, strip.shape[1], 3), 40, np.uint8)
        _write(head, f"{number}  {act.title}: {act.answers[-1].text if act.answers else 'no answer'}", (10, 21), 0.6)
        rows += [head, strip]
    if not rows or not cv2.imwrite(str(path), np.vstack(rows)):
        raise OSError(f"{path} cannot be written")


def _shots(taken: Sequence[Taken], act: Act) -> list[Taken]:
    return [shot for shot in taken if act.began <= shot.at <= act.ended]


def _write(picture: np.ndarray, text: str, place: tuple[int, int], size: float) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 3, cv2.LINE_AA)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (250, 250, 250), 1, cv2.LINE_AA)
