"""How long a gate takes from the start of its process to its first right answer, by the number of templates in the store.

    python -m bench.start [--templates 10 10000 100000] [--runs N]

A real daemon, mosquitto on loopback, and a network camera at which an enrolled person walks up again and again; the other templates are
drawn at random.
The clock runs from the start of the process until the accept has come over MQTT. The parts are measured in a process of their own, which
opens the same things in the same order, and beside them the same work done bare: the vectors read from the file and unsealed one by one,
without a gallery. CPU of the sandbox is that until the first answer. Crops are one byte here; a start reads none.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.hostile import GATE, RULES, SITE, Ear, asked, camera, cpu_s
from bench.scenes import data_folder
from daemon.core.values import Person
from daemon.demo.frames import enrolment_photo
from daemon.edges.embedder import bundle_id
from daemon.edges.store import open_store
from daemon.pipeline.opening import DEFAULT_BUNDLE
from tests.conftest import ROOT
from tests.fixtures.deployed import deployed
from tests.fixtures.running import daemon_running

EACH, DIMENSION = 5, 128
WAIT_S = 120.0
PARTS = """
import json, sys, time
from pathlib import Path
marks = [("python", time.perf_counter(), time.process_time())]
def mark(name):
    marks.append((name, time.perf_counter(), time.process_time()))
import daemon.cli.run
mark("imports")
from daemon.config import load
from daemon.edges.detector import open_detector
from daemon.edges.visibility import open_visibility
from daemon.pipeline.opening import load_gallery, open_gallery, open_model
config = load(Path(sys.argv[1]))
mark("configuration")
model = open_model(config)
mark("model, golden vectors")
open_visibility(), open_detector(config.detector.kind, config.detector.min_face_px)
mark("detector, visibility")
store = open_gallery(config)
mark("store: checks, key, chain")
gallery, people, _ = load_gallery(store, model)
mark("gallery: unsealing, matrix")
gallery.common()
mark("common direction")
found = [(name, wall - marks[i][1], cpu - marks[i][2]) for i, (name, wall, cpu) in enumerate(marks[1:])]
began = time.process_time()
records = store.tables.people.records()
opened = [store.database.sealer.open_vector(sealed, number, person, model.id, records[person].enrolment)
          for number, person, sealed in store.database.rows(
              "SELECT number, person, vectors.sealed FROM vectors JOIN templates USING (number)")]
found.append(("bare: read and unseal alone", 0.0, time.process_time() - began))
print(json.dumps(found))
"""


def filled(state: Path, templates: int) -> None:
    """Enter random people, five templates each, until there are so many templates."""
    random, model = np.random.default_rng(templates), bundle_id(DEFAULT_BUNDLE)
    store = open_store(state)
    with store.transaction():
        for number in range(max(0, templates - store.template_total())):
            person = f"R{number // EACH}"
            if number % EACH == 0:
                store.put_person(Person(person, name=f"Random {number}"))
            vector = random.normal(size=DIMENSION).astype(np.float32)
            store.add_template(person, model, vector / np.linalg.norm(vector), b"x", time.time())
        store.next_revision()
    store.close()


def configured(folder: Path, url: str, port: int) -> Path:
    password = folder / "password"
    password.write_text(f"secret of gate-{GATE}\n")
    password.chmod(0o600)
    path = folder / "config.toml"
    path.write_text(
        f'site = "{SITE}"\nstate_dir = "{folder / "state"}"\n[gates.{GATE}]\nsource = "{url}"\n{RULES}'.replace(
            "[decision]\n", "[decision]\nthreshold = 0.6\n"
        )
        + f'[mqtt]\nport = {port}\nusername = "gate-{{gate}}"\npassword_file = "{password}"\n[metrics]\nport = 0\n'
        + '[commands]\ngrants = ["force"]\n'
    )
    return path


def started(config: Path, port: int) -> tuple[float, float, float]:
    """Seconds until the first accept, and the CPU seconds of the daemon and of its sandbox until then."""
    with Ear(port) as ear, config.with_name("daemon.log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "daemon", "run", "--config", str(config)], cwd=ROOT, stderr=log)
        try:
            while not ear.accepted:
                if process.poll() is not None or time.monotonic() - began > WAIT_S:
                    raise RuntimeError(config.with_name("daemon.log").read_text())
                time.sleep(0.002)
            own, others = cpu_s(process.pid)
            return ear.accepted[0] - began, own, others
        finally:
            process.terminate()
            process.wait(20)


def parts(config: Path) -> list[tuple[str, float, float]]:
    done = subprocess.run([sys.executable, "-c", PARTS, str(config)], cwd=ROOT, capture_output=True, text=True, check=True)
    return [(name, wall, cpu) for name, wall, cpu in json.loads(done.stdout)]


@contextmanager
def enrolled() -> Iterator[tuple[Path, int]]:
    """A configuration whose gate knows one person, whom its camera sees, and the broker's port."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker, url = stack.enter_context(deployed(folder)), stack.enter_context(camera())
        config = configured(folder, url, broker.port)
        with Ear(broker.port) as ear, daemon_running(config):
            ear.ask(asked("enroll", "E1", [enrolment_photo("collins")], force=True))
        yield config, broker.port


def ratios() -> dict[str, float]:
    """The rows of `make bench`, of CPU time: up to the first right answer, and the gallery alone."""
    few, many = 10, 20_000
    with enrolled() as (config, port):
        spent = {}
        for templates in (few, many):
            filled(config.parent / "state", templates)
            spent[templates] = statistics.median(started(config, port)[1] for _ in range(3))
        runs = [{name: cpu for name, _, cpu in parts(config)} for _ in range(3)]
        bare = statistics.median(run["bare: read and unseal alone"] for run in runs)
        script = statistics.median(plain_cpu_s() for _ in range(3))
    gallery = statistics.median(run["gallery: unsealing, matrix"] for run in runs)
    return {
        "start to the first right answer, 10 templates / the script's start (CPU)": spent[few] / script,
        "start to the first right answer, 20,000 templates / 10 templates (CPU)": spent[many] / spent[few],
        "gallery of 20,000 templates / read and unseal alone (CPU)": gallery / bare,
    }


def plain_cpu_s() -> float:
    """CPU seconds that the plain script takes for its imports and its two models."""
    yunet = data_folder() / "models/yunet.onnx"
    lines = (
        "import time", "from pathlib import Path", "from bench.plain import Plain",
        f"Plain(Path({str(yunet)!r}), Path({str(DEFAULT_BUNDLE)!r}), 0.6)", "print(time.process_time())",
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=int, nargs="+", default=[10, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5, help="starts for each size (5); the median counts")
    arguments = parser.parse_args()
    sizes = [f"{templates:,}" for templates in arguments.templates]
    table, detail = Table("", *sizes, title="start, seconds"), Table("CPU seconds of", *sizes)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    answers: list[list[tuple[float, float, float]]] = []
    pieces: list[dict[str, float]] = []
    with enrolled() as (config, port):
        for templates in arguments.templates:
            filled(config.parent / "state", templates)
            answers.append([started(config, port) for _ in range(arguments.runs)])
            runs = [parts(config) for _ in range(arguments.runs)]
            pieces.append({part[0]: statistics.median(run[place][2] for run in runs) for place, part in enumerate(runs[0])})
    for place, name in enumerate(("to the first right answer", "CPU of the daemon", "CPU of the sandbox")):
        table.add_row(name, *(f"{statistics.median(run[place] for run in runs):.2f}" for runs in answers))
    for name in pieces[0]:
        detail.add_row(name, *(f"{found[name]:.3f}" for found in pieces))
    console.print(table)
    console.print(detail)
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
