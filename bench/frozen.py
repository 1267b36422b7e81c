"""How soon a frozen camera is noticed, how often a quiet one is called frozen, and what people at a gate lose by it.

    python -m bench.frozen [--codec WORD] [--light WORD] [--seeds 101 102] [--fps 15] [--height 480]
    python -m bench.frozen --clips      # real recordings, through the same encoders
    python -m bench.frozen --cpu        # what it costs

Every sequence is made, encoded and decoded anew. A source is frozen before its encoder: the same picture again and again, with somebody in
it. `start`: from the first picture on; `clock`: the same, with the time of day drawn into it; `middle`: while somebody stands there.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, cycle, islice, repeat

import av
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.cost import machine
from bench.frozen_scenes import CODECS, LIGHTS, Codec, Light, coded, frozen, play, sensed, with_clock
from bench.scenes import data_folder
from daemon.core.stillness import ALIVE_S, QUIET_S, Look, Stillness

SCENES = ("corridor", "0", "200", "900")
STILL_S, GROUPS, PEOPLE_S, CALM_S = 45, 10, 10, 6
"""How long each sequence is, and how many groups of pictures one without life has at least. `CALM_S`: how long somebody is there before the
source freezes."""
IN_DOUBT_S = 20.0
"""A detector that alarms of stillness so soon shows which sequences the real one would be in doubt about (after QUIET_S of `stillness`)."""

CONSOLE = Console(width=200)


@dataclass(slots=True)
class Seen:
    """What came of one sequence: the time of each picture, what the detector said, and whether it was in doubt at the end."""

    at_s: np.ndarray
    looks: list[Look]
    doubt: bool

    def share(self, look: str, since_s: float = 0.0) -> float:
        said = [one == look for one, at_s in zip(self.looks, self.at_s, strict=True) if at_s >= since_s]
        return sum(said) / len(said)

    def first(self, look: str, since_s: float = 0.0) -> float:
        """Seconds from `since_s` to the first such picture; infinite if there is none."""
        return next((float(at - since_s) for one, at in zip(self.looks, self.at_s, strict=True) if at >= since_s and one == look), np.inf)

    def last(self, look: str, since_s: float = 0.0) -> float:
        """Seconds from `since_s` to the last such picture; 0 if there is none."""
        return max((float(at - since_s) for one, at in zip(self.looks, self.at_s, strict=True) if at >= since_s and one == look), default=0)


def watched(pictures: Iterable[np.ndarray], codec: Codec, fps: int) -> Seen:
    looks: list[Look] = []
    detector, hasty = Stillness(), Stillness(quiet_s=IN_DOUBT_S)
    for number, shown in enumerate(coded(pictures, codec, fps)):
        looks.append(detector.observe(shown.grey, number / fps, shown.key))
        hasty.observe(shown.grey, number / fps, shown.key)
    return Seen(np.arange(len(looks)) / fps, looks, detector.why is None and hasty.why is not None)


@dataclass(slots=True)
class Cell:
    """The sequences of one codec and light."""

    start: list[Seen]
    clock: list[Seen]
    middle: list[Seen]
    quiet: list[Seen]
    near: list[Seen]
    far: list[Seen]


def measured(codec: Codec, light: Light, seeds: list[int], fps: int, height: int) -> Cell:
    cell = Cell([], [], [], [], [], [])
    still_s = round(max(STILL_S, GROUPS * codec.gop_s))
    width = height * 4 // 3 if height <= 480 else height * 16 // 9
    for number, seed in enumerate(seeds):
        scene = SCENES[(seed + number) % len(SCENES)]

        def filmed(kind: str, seconds: float, scene: str = scene, seed: int = seed) -> Iterator[np.ndarray]:
            return islice(sensed(play(kind, scene, width, height, fps, seed), light, seed), round(seconds * fps))

        still = next(filmed("stands", 1))
        cell.start.append(watched(repeat(still, still_s * fps), codec, fps))
        cell.clock.append(watched(with_clock(repeat(still, still_s * fps), fps, 0.06 if seed % 2 else 0.035, seed), codec, fps))
        middle = islice(frozen(chain(filmed("walks", CALM_S), repeat(still)), CALM_S * fps), (CALM_S + still_s) * fps)
        cell.middle.append(watched(middle, codec, fps))
        cell.quiet.append(watched(filmed("empty", still_s), codec, fps))
        cell.near.append(watched(filmed("stands", PEOPLE_S), codec, fps))
        cell.far.append(watched(filmed("far", PEOPLE_S), codec, fps))
    return cell


def span(values: Iterable[float], digits: int = 0) -> str:
    low, high = (f"{value:.{digits}f}" if np.isfinite(value) else "–" for value in (lambda v: (min(v), max(v)))(list(values)))
    return low if low == high else f"{low} to {high}"


def alarm(sequences: list[Seen], since_s: float = 0.0) -> str:
    """Seconds to the alarm, and how many come only after the long time without life, or not at all."""
    times = [seen.first("frozen", since_s) for seen in sequences]
    told = [one for one in times if np.isfinite(one)]
    doubt = sum(seen.doubt for seen in sequences)
    missed = len(sequences) - len(told) - doubt
    parts = [span(told) if told else "", f"{doubt} × {QUIET_S:g}" if doubt else "", f"{missed} not" if missed else ""]
    return ", ".join(part for part in parts if part)


def table(codecs: list[Codec], lights: list[Light], seeds: list[int], fps: int, height: int) -> None:
    shown = Table(title=f"{height} lines, {fps} pictures a second, seeds {seeds}")
    names = ("codec", "light", "new of frozen", "start: alarm s", "clock: alarm s", "middle: new for s", "alarm s")
    for name in (*names, "quiet: frozen, in doubt", "near: held %", "far: held %", "first new s"):
        shown.add_column(name)
    for codec in codecs:
        for light in lights:
            cell = measured(codec, light, seeds, fps, height)
            wrong = sum(one == "new" for seen in (*cell.start, *cell.clock) for one in seen.looks)
            row = [
                codec.name,
                light.name,
                str(wrong),
                alarm(cell.start),
                alarm(cell.clock),
                span((seen.last("new", CALM_S) for seen in cell.middle), 1),
                alarm(cell.middle, CALM_S),
                f"{sum('frozen' in seen.looks for seen in cell.quiet)}, {sum(seen.doubt for seen in cell.quiet)} of {len(cell.quiet)}",
                span(100 * (1 - seen.share("new")) for seen in cell.near),
                span(100 * (1 - seen.share("new")) for seen in cell.far),
                span((seen.first("new") for seen in (*cell.near, *cell.far)), 2),
            ]
            shown.add_row(*row)
            CONSOLE.print(" | ".join(row), highlight=False)
    CONSOLE.print(shown)


def clip(path: str) -> tuple[list[np.ndarray], int]:
    """The luma of a recording, and its pictures a second."""
    with av.open(path) as recording:
        rate = recording.streams.video[0].average_rate
        return [frame.to_ndarray(format="gray") for frame in recording.decode(video=0)], round(float(rate or 10))


def clips(codecs: list[Codec]) -> None:
    """Real recordings: people who sign in front of a camera, forth and back for 12 s; a walk; 139 s of an office."""
    folder = data_folder() / "clips"
    shown = Table(title="real recordings")
    for name in ("recording", "codec", "held back %", "first new s", "longest held s", "frozen said", "then frozen: new for s", "alarm s"):
        shown.add_column(name)
    names = [*sorted(str(path.relative_to(folder)) for path in folder.glob("asl/*.mkv")), "walking-and-pause.gif", "no-face.mp4"]
    for codec in codecs:
        for name in names:
            pictures, fps = clip(str(folder / name))
            pictures = [picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2] for picture in pictures]
            live = pictures if name.endswith("mp4") else list(islice(cycle([*pictures, *pictures[-2:0:-1]]), 12 * fps))
            live_s = len(live) / fps
            seen = watched(chain(live, repeat(live[-1], 40 * fps)), codec, fps)
            held, longest = 0.0, 0.0
            for at_s, look in zip(seen.at_s, seen.looks, strict=True):
                held = 0.0 if look == "new" or at_s >= live_s else held + 1 / fps
                longest = max(longest, held)
            alive = Seen(seen.at_s[: len(live)], seen.looks[: len(live)], False)
            row = [
                name,
                codec.name,
                f"{100 * (1 - alive.share('new')):.1f}",
                f"{alive.first('new'):.2f}",
                f"{longest:.1f}",
                str(alive.looks.count("frozen")),
                f"{seen.last('new', live_s):.1f}",
                span([seen.first("frozen", live_s)]),
            ]
            shown.add_row(*row)
            CONSOLE.print(" | ".join(row), highlight=False)
    CONSOLE.print(shown)


def cpu() -> None:
    """Milliseconds of a processor for each picture, where every picture is a key frame and where one a second is."""
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    CONSOLE.print(machine())
    for width, height in ((640, 480), (1920, 1080), (3840, 2160)):
        pictures = [random.integers(90, 110, (height, width), np.uint8) for _ in range(8)]
        for every in (1, 15):
            runs = []
            for _ in range(5):
                detector, began = Stillness(), time.thread_time()
                for number in range(300):
                    detector.observe(pictures[number % 8], number / 15, number % every == 0)
                runs.append(1000 * (time.thread_time() - began) / 300)
            CONSOLE.print(f"{width}x{height}, a key frame in {every}: {span(runs, 2)} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", default="", help="only codecs with this word in their name")
    parser.add_argument("--light", default="", help="only lights with this word in their name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102])
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--clips", action="store_true", help="real recordings instead")
    parser.add_argument("--cpu", action="store_true", help="what it costs instead")
    arguments = parser.parse_args()
    if arguments.cpu:
        return cpu()
    codecs = [codec for codec in CODECS if arguments.codec in codec.name]
    if arguments.clips:
        return clips(codecs)
    lights = [light for light in LIGHTS if arguments.light in light.name]
    CONSOLE.print(f"a picture is new for {ALIVE_S:g} s after life")
    return table(codecs, lights, arguments.seeds, arguments.fps, arguments.height)


if __name__ == "__main__":
    main()
