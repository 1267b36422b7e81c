"""A fleet of real boxes on one broker: how soon who is enrolled at one is accepted at all, and who is revoked at one at none; how a new box
reads the roster, and whether somebody at its gate waits for that.

    python -m bench.fleet [--people 1000] [--revoked 100] [--records 10000] [--only enrol|read]

Three boxes run in this process, with everything real but cameras and models: a face is 64 grey squares. The records that a new box reads
are written by a box on paper.
"""

import argparse
import hashlib
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from bench.roster import OPTIONS, crops
from daemon.config import WriterConfig
from daemon.core import signing
from daemon.core.boxes import Box as Area
from daemon.core.people.roster import Card, Stamp
from daemon.core.people.roster import Face as Template
from daemon.core.people.roster_head import Sum, head_said, made_head
from daemon.core.people.roster_wire import NONCE_BYTES, read, written
from daemon.core.values import Face, Image, Probe, Quality, View
from daemon.pipeline.model import Model
from tests.fixtures.boxes import SITE, Box, Fleet, fleet
from tests.fixtures.desk import STANDARDS, NoThreshold, command
from tests.fixtures.watching import rss_mb

SQUARES = 8
console = Console()


class Coded:
    """A vector with one number for each square of a face."""

    def embed(self, crops: np.ndarray) -> np.ndarray:
        means = crops.reshape(len(crops), SQUARES, 14, SQUARES, 14, 3).mean((2, 4, 5)).reshape(len(crops), -1)
        means = means - means.mean(1, keepdims=True)
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        return np.asarray(means / np.where(lengths > 0, lengths, 1), np.float32)


MODELS = {"coded": Model("coded", Coded(), "cpu", SQUARES * SQUARES, NoThreshold(), STANDARDS)}


def face(number: int) -> Image:
    grey = np.random.default_rng(number).integers(30, 226, (SQUARES, SQUARES)).astype(np.uint8)
    return np.repeat(np.repeat(np.repeat(grey, 14, 0), 14, 1)[..., None], 3, 2)


def decoded(jpegs: Sequence[bytes]) -> list[Image]:
    return [np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8) for jpeg in jpegs]


def coded(site: Fleet, name: str, **more: Any) -> Box:
    box = site.box(name, models=MODELS, crops=decoded, **more)
    from daemon.edges.store import open_store

    store = open_store(box.folder)
    with store.transaction():
        store.put_serving("coded")
    store.close()
    return box


def spread(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, most {max(seconds) * 1000:.0f} ms"


def enrol(people: int, revoked: int) -> None:
    """Show 1 of the fleet."""
    with tempfile.TemporaryDirectory() as folder, fleet(Path(folder), options=OPTIONS) as site:
        boxes = [coded(site, "north", keeper=True), coded(site, "south"), coded(site, "vault")]
        for box in boxes:
            box.start()
        site.admit(*boxes)
        for box in boxes:
            box.complete()
        began_s = time.monotonic()
        ids = []
        for number in range(people):
            jpeg = cv2.imencode(".jpg", face(number), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            body = command("enroll", f"E{number}", [jpeg], now=time.time(), life=590.0)
            ids.append(json.loads(body)["command_id"])
            site.watcher.say(body, f"ostiary/v1/{SITE}/south/command")
        done_s = 0.0
        while not all(len(box.people) == people for box in boxes):
            if not done_s and len(boxes[1].people) == people:
                done_s = time.monotonic() - began_s
            time.sleep(0.005)
        all_s = time.monotonic() - began_s
        for box in boxes:
            answer = box.looks_at(face(people - 1))
            assert answer == ("accept", "matched", f"E{people - 1}"), (box.name, answer)
        console.print(f"{people} people enrolled at one box in {done_s:.1f} s; known at all three after {all_s:.1f} s")
        site.agree(*boxes)
        console.print(f"all three know that they hold the same after {time.monotonic() - began_s:.1f} s")
        for op, among in (("enroll", range(people, people + revoked)), ("revoke", range(revoked))):
            took = []
            for number in among:
                person = f"E{number}"
                jpeg = cv2.imencode(".jpg", face(number), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                body = command(op, person, [jpeg] if op == "enroll" else None, now=time.time())
                leaf = "command" if op == "enroll" else "command/revoke"
                began_s = time.monotonic()
                site.watcher.say(body, f"ostiary/v1/{SITE}/south/{leaf}")
                while not all((person in box.people) is (op == "enroll") for box in boxes):
                    time.sleep(0.0005)
                took.append(time.monotonic() - began_s)
                time.sleep(0.02)
            console.print(f"{op} at one: in force at all three: {spread(took)} ({len(took)} people)")


class Crowd:
    """Somebody stands at a gate all the time; how long each look takes from the camera to the decision's end."""

    def __init__(self, box: Box) -> None:
        self._box, self._stop, self._offered, self.took = box, threading.Event(), dict[int, float](), list[tuple[float, float]]()
        decide = box.engine._deciding.decide

        def timed(views: Sequence[View]) -> None:
            decide(views)
            now_s = time.monotonic()
            for view in views:
                self.took.append((now_s, now_s - self._offered.pop(view.number, now_s)))

        box.engine._deciding.decide = timed  # type: ignore[method-assign]
        threading.Thread(target=self._walk, daemon=True).start()

    def _walk(self) -> None:
        for number in itertools.count(1_000_000):
            if self._stop.is_set():
                return
            probes = (Probe(Face(Area(100, 100, 80, 80), 1.0), face(number // 30), Quality.OK),)
            self._offered[number] = time.monotonic()
            self._box.mailbox.offer(View(self._box.name, number, time.monotonic(), time.time(), probes), self._stop)
            time.sleep(0.04)

    def between(self, first_s: float, last_s: float) -> list[float]:
        return [took for at, took in self.took if first_s <= at < last_s]

    def stop(self) -> None:
        self._stop.set()


def reads(records: int) -> None:
    """Show 5: a new box reads a roster while somebody stands at its gate."""
    with tempfile.TemporaryDirectory() as folder, fleet(Path(folder), options=OPTIONS) as site:
        paper, keys = signing.private_key(os.urandom(32)), site.edition.keys
        pictures, held, size = crops(), Sum(), 0
        client = paho.Client(CallbackAPIVersion.VERSION2, "paper")
        client.max_inflight_messages_set(20)
        client.max_queued_messages_set(0)
        client.connect("127.0.0.1", site.port)
        client.loop_start()
        for number in range(records):
            crop = pictures[number % len(pictures)] + number.to_bytes(4, "big")
            vector = Coded().embed(face(number)[None])[0]
            faces = {hashlib.sha256(crop).hexdigest(): Template(crop, {"coded": vector.astype("<f4").tobytes()})}
            card = Card(person=f"E{number}", name=f"Person {number}", enrolled_at=1.7e9, faces=faces)
            on, payload = written(SITE, keys, Stamp("paper", {"paper": 1}), card, paper, os.urandom(NONCE_BYTES))
            held = held.changed(None, read(on, payload, keys, {"paper": paper.public_key()}).digest)
            size += len(payload)
            sent = client.publish(on, payload, qos=1, retain=True)
            if number % 500 == 499:
                sent.wait_for_publish(60)
        sent.wait_for_publish(60)
        stop = threading.Event()

        def heads() -> None:
            for number in itertools.count(1):
                client.publish(
                    *head_said(made_head({"paper": held}, number=number, now=time.time(), life_s=300.0), SITE, "paper", paper), 1, True
                )
                if stop.wait(3.0):
                    return

        threading.Thread(target=heads, daemon=True).start()
        south = coded(site, "south", writers={"paper": WriterConfig(public=signing.public_text(paper), keeper=True)})
        south.start()
        crowd, before_mb = Crowd(south), rss_mb(os.getpid())
        time.sleep(10.0)
        began_s = time.monotonic()
        site.admit(south)
        south.complete(600.0)
        done_s = time.monotonic()
        time.sleep(10.0)
        crowd.stop()
        answer = south.looks_at(face(records - 1))
        assert answer == ("accept", "matched", f"E{records - 1}"), answer
        console.print(f"{records} records of {size / records / 1000:.1f} kB: read and served after {done_s - began_s:.1f} s")
        console.print(f"memory of this process: {before_mb:.0f} MB before, {rss_mb(os.getpid()):.0f} MB after")
        for what, first_s, last_s in (
            ("before", began_s - 10, began_s), ("while it reads", began_s, done_s), ("after", done_s, done_s + 10),
        ):  # fmt: skip
            took = crowd.between(first_s, last_s)
            console.print(f"a look at somebody, {what}: {spread(took)} ({len(took)} looks)")
        stop.set()
        client.loop_stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--revoked", type=int, default=100)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--only", choices=("enrol", "read"))
    asked = parser.parse_args()
    if asked.only != "read":
        enrol(asked.people, asked.revoked)
    if asked.only != "enrol":
        reads(asked.records)


if __name__ == "__main__":
    main()
