"""What it takes to look at enrolment photos: in this process, and in the sandbox beside the daemon; and the worst that a header allows.

python -m bench.photos
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.config import Config, GateConfig
from daemon.core.faces.photo import check_jpeg
from daemon.core.people.enrol import EnrolError
from daemon.core.people.photo_wire import PhotoSettings
from daemon.demo.frames import portrait
from daemon.edges.detector import open_detector
from daemon.edges.sandbox import Sandbox
from daemon.pipeline import steps
from daemon.pipeline.opening import open_judge, open_model
from daemon.pipeline.photos import enrolment_crop
from tests.fixtures.bombs import jpeg, scan_bomb

CONFIG = Config(site="bench", gates={"x": GateConfig(source="none")})
TIMES = 50


def main() -> None:
    console = Console(highlight=False, width=140)
    detector, judge, model = open_detector("haar"), open_judge(CONFIG, CONFIG.enrolment.min_face_px), open_model(CONFIG)
    sandbox = Sandbox(PhotoSettings("haar", CONFIG.detector.min_face_px, steps.limits(CONFIG, CONFIG.enrolment.min_face_px)))
    started = time.perf_counter()
    sandbox.start()
    asked(sandbox, jpeg())
    console.print(f"sandbox ready {time.perf_counter() - started:.2f} s after its start; {memory(sandbox)}")
    photo = cv2.imencode(".jpg", portrait("collins").picture.astype(np.uint8))[1].tobytes()
    crop = enrolment_crop(photo, 1, detector, judge)
    rows: dict[str, Callable[[], object]] = {
        "one photo in the engine's turn, as it was": lambda: model.embedder.embed(enrolment_crop(photo, 1, detector, judge)[None]),
        "the same by the sandbox, beside the engine": lambda: model.embedder.embed(sandbox.crops([photo])[0][None]),
        "its header": lambda: check_jpeg(photo),
        "ten crops embedded": lambda: model.embedder.embed(np.stack([crop] * 10)),
    }
    table = Table("what", "median", "slowest of 50")
    for what, work in rows.items():
        took = [timed(work) for _ in range(TIMES)]
        table.add_row(what, f"{1000 * median(took):.1f} ms", f"{1000 * max(took):.1f} ms")
    bombs = {
        "204 kB, 2,000 scans": scan_bomb(2_000),
        "33×50,000 pixels": jpeg(33, 50_000),
        "9 million pixels, 54 scans": scan_bomb(44, 3_000, 3_000),
        "40 million pixels, progressive": jpeg(7_270, 5_500, progressive=True),
        "40 million pixels, a restart at every block": jpeg(7_270, 5_500, rst_interval=1),
    }
    for what, data in bombs.items():
        started = time.perf_counter()
        answer = asked(sandbox, data)
        table.add_row(f"{what}: {answer}", f"{1000 * (time.perf_counter() - started):.1f} ms", "")
    console.print(table)
    console.print(memory(sandbox))
    sandbox.close()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def asked(sandbox: Sandbox, photo: bytes) -> str:
    try:
        sandbox.crops([photo])
    except EnrolError as error:
        return error.reason
    return "a crop"


def memory(sandbox: Sandbox) -> str:
    text = Path(f"/proc/{sandbox.pid}/status").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return "memory " + ", ".join(f"{name} {int(lines[name].split()[0]) // 1024} MB" for name in ("VmRSS", "RssAnon", "VmHWM"))


if __name__ == "__main__":
    main()
