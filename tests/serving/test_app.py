"""The whole daemon as a process, with a real broker: start, enrol, crash, stop, and refuse what cannot be used."""

import json
import os
import queue
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.config import Config, GateConfig, MqttConfig
from daemon.core.audit import KeyChanged
from daemon.core.values import Person
from daemon.edges.embedder import bundle_id
from daemon.edges.mqtt import Lanes
from daemon.edges.store import open_store
from daemon.pipeline.opening import DEFAULT_BUNDLE
from daemon.serving import app
from tests.conftest import ROOT
from tests.fixtures.bombs import png_bomb
from tests.fixtures.desk import command
from tests.fixtures.liveness_models import brightness_model
from tests.fixtures.mosquitto import free_port
from tests.fixtures.running import configure, ctl, daemon_running, ostiaryd, result

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A public-domain portrait that comes inside scikit-image, as a JPEG file."""
    path = tmp_path_factory.mktemp("portrait") / "astronaut.jpg"
    cv2.imwrite(str(path), skimage_data.astronaut()[:, :, ::-1])
    return path


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two seconds in which that person stands before the camera."""
    folder = tmp_path_factory.mktemp("still")
    image = cv2.resize(skimage_data.astronaut()[:, :, ::-1], (480, 480))
    noise = np.random.default_rng(1)
    for number in range(50):
        noisy = np.clip(image + noise.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.jpg"), noisy)
    return folder


@pytest.mark.broker
def test_an_enrolment_outlives_kill_9_and_so_does_a_revocation(tmp_path: Path, broker: int, portrait: Path, still: Path) -> None:
    config = configure(tmp_path, broker, still)
    with daemon_running(config) as process:
        assert result(ctl(config, "enroll", "E1", "--image", portrait))["status"] == "done"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with daemon_running(config) as process:
        listed = ctl(config, "list").stdout
        assert "E1" in listed
        assert result(ctl(config, "revoke", "E1"))["status"] == "done"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with daemon_running(config):
        assert "E1" not in ctl(config, "list").stdout
    again = ostiaryd("replay", still, "--config", config)
    assert again.returncode == 0, again.stderr
    assert [json.loads(line)["decision"] for line in again.stdout.splitlines()] == ["unknown"]


def test_eight_gates_end_in_time_while_the_network_swallows_what_they_send() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as stack:
        for _ in range(4):  # more connections than it queues: from now on a connection is not even refused
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        config = Config(site="hq", gates={f"g{n}": GateConfig(source="x") for n in range(8)}, mqtt=MqttConfig(port=deaf.getsockname()[1]))
        links = {
            gate: Lanes(config.mqtt, site="hq", gate=gate, client_id=gate, password=None, offline=b"{}", deliver=lambda news: True)
            for gate in config.gates
        }
        for link in links.values():
            link.start()
        time.sleep(0.5)
        engine: Any = SimpleNamespace(
            gates={gate: SimpleNamespace(status=None) for gate in links}, finish=lambda: None, settle=lambda: None
        )
        began_s = time.monotonic()
        app._stop(engine, links, [], config, lambda topic, payload: payload, ())
        assert time.monotonic() - began_s < 3


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_within_five_seconds(tmp_path: Path, broker: int, still: Path, number: signal.Signals) -> None:
    config = configure(tmp_path, broker, still)
    with daemon_running(config) as process:
        assert result(ctl(config, "ping"))["status"] == "done"
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5
    assert "Traceback" not in config.with_name("daemon.log").read_text()
    store = open_store(tmp_path / "state", read_only=True)
    assert store.depth() == 0, "what the broker has taken is not sent again at the next start"
    store.close()
    assert "stopped" in ctl(config, "status").stdout


def watched_until_end(config: Path) -> dict[str, Any]:
    """The first decision that `ostiaryctl watch` tells while the daemon plays its source to the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "daemon.ctl.__main__", "watch", "--config", str(config), "--count", "1", "--seconds", "60", "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as watch:  # fmt: skip
        time.sleep(2)
        played = ostiaryd("run", "--config", config, "--until-end")
        assert played.returncode == 0, played.stderr
        decision: dict[str, Any] = json.loads(watch.communicate(timeout=90)[0].splitlines()[0])
    return decision


@pytest.mark.broker
def test_the_line_from_recording_to_metrics(tmp_path: Path, broker: int, portrait: Path, still: Path) -> None:
    port = free_port()
    config = configure(tmp_path, broker, still, port)
    with daemon_running(config):
        assert result(ctl(config, "enroll", "E1", "--image", portrait, "--name", "A. Stronaut"))["status"] == "done"
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    assert re.search(r"^ostiary_gallery_people 1\.0$", text, re.M), text
    assert "E1" not in text and "Stronaut" not in text
    decision = watched_until_end(config)
    assert (decision["decision"], decision["person"]) == ("accept", "E1")


@pytest.mark.broker
def test_a_liveness_model_denies_at_a_real_gate_too(tmp_path: Path, broker: int, portrait: Path, still: Path) -> None:
    brightness_model(tmp_path / "live.onnx", scale=0.01, middle=400.0)  # nothing is alive to it
    config = configure(tmp_path, broker, still, extra='[liveness]\nmodel = "live.onnx"\n')
    with daemon_running(config):
        assert result(ctl(config, "enroll", "E1", "--image", portrait))["status"] == "done"
    decision = watched_until_end(config)
    told = (decision["decision"], decision["reason"], decision["person"], decision["liveness"])
    assert told == ("reject", "spoof_suspected", "E1", "spoof")


@pytest.mark.broker
def test_bad_input_gets_one_result_each_and_changes_nothing(tmp_path: Path, broker: int, portrait: Path) -> None:
    astronaut = cv2.imread(str(portrait))
    assert astronaut is not None
    two = cv2.imencode(".jpg", np.hstack([astronaut, astronaut]))[1].tobytes()
    wall = cv2.imencode(".jpg", np.full((300, 300, 3), 120, np.uint8))[1].tobytes()
    whole = portrait.read_bytes()
    inbox: queue.Queue[dict[str, object]] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, message: inbox.put(json.loads(message.payload))
    # A camera that is not there keeps no command waiting.
    with daemon_running(configure(tmp_path, broker, Path("/dev/video99"))):
        client.connect("127.0.0.1", broker)
        client.subscribe("ostiary/v1/test/north/result", 1)
        client.loop_start()
        try:
            for payload, reason in [
                (command("enroll", "E1", [wall], now=time.time()), "no_face"),
                (command("enroll", "E1", [two], now=time.time()), "several_faces"),
                (command("enroll", "E1", [whole[: len(whole) // 2]], now=time.time()), "bad_image"),
                (command("enroll", "E1", [png_bomb()], now=time.time()), "bad_image"),
                (command("enroll", "E1", [whole], now=time.time(), salary=3), "malformed"),
                (b"{" * 1000, "malformed"),
                (b"x" * 10_000_000, "too_large"),
            ]:
                client.publish("ostiary/v1/test/north/command", payload, qos=1).wait_for_publish(20)
                answer = inbox.get(timeout=30)
                assert (answer["status"], answer["reason"]) == ("refused", reason), answer
            client.publish("ostiary/v1/test/north/command", command("list", now=time.time()), qos=1)
            assert inbox.get(timeout=30)["people"] == []
            assert inbox.empty()
        finally:
            client.disconnect()
            client.loop_stop()
        status = ctl(tmp_path / "config.toml", "status").stdout
        assert "degraded" in status and "camera_down" in status


def test_a_replay_gives_the_same_bytes_twice(portrait: Path, still: Path) -> None:
    first, again = (ostiaryd("replay", still, "--enroll", f"E1={portrait}") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout and json.loads(first.stdout)["person"] == "E1"


def test_a_replay_says_what_differs_from_what_was_expected(portrait: Path, still: Path, tmp_path: Path) -> None:
    enrolled, golden = ("replay", still, "--enroll", f"E1={portrait}"), tmp_path / "golden.jsonl"
    golden.write_text(ostiaryd(*enrolled).stdout)
    same = ostiaryd(*enrolled, "--expect", golden)
    assert (same.returncode, same.stdout) == (0, "") and ", as expected" in same.stderr
    golden.write_text(golden.read_text().replace("E1", "E2"))
    other = ostiaryd(*enrolled, "--expect", golden)
    assert other.returncode == 1 and ", not as expected" in other.stderr
    changed = [line[0] for line in other.stdout.splitlines() if line[0] in "+-" and '"person"' in line]
    assert changed == ["-", "+"] and '+{"frame"' in other.stdout
    none = ostiaryd(*enrolled, "--expect", tmp_path / "absent.jsonl")
    assert none.returncode == 78 and "hint: give the lines" in none.stderr


def test_a_replay_says_what_another_policy_would_change(portrait: Path, still: Path, tmp_path: Path) -> None:
    policy = tmp_path / "strict.toml"
    policy.write_text('site = "x"\n[gates.x]\nsource = "x.mkv"\n[decision]\nthreshold = 0.9999\n')
    found = ostiaryd("replay", still, "--enroll", f"E1={portrait}", "--policy", policy)
    assert found.returncode == 0, found.stderr
    assert '-{"frame"' in found.stdout and '"accept"' in found.stdout and '"unknown"' in found.stdout


@pytest.mark.parametrize(
    ("extra", "word", "hint"),
    [
        ('[model]\nbundle = "absent.onnx"\n', "no such model file", "export"),
        ('[model]\nbundle = "config.toml"\n', "not a model", "export"),
        ('[detector]\nkind = "absent.onnx"\n', "absent.onnx", ""),
        ('[liveness]\nmodel = "config.toml"\n', "not a model", "MiniFASNet"),
        ("[liveness]\nrequire = true\n", "without liveness.model", "name a model"),
        ("[mqtt2]\n", "unknown key `mqtt2`", "`mqtt`"),
        ('[gates.south]\nsource = "absent.mkv"\n', "absent.mkv", ""),
    ],
)
def test_what_cannot_be_used_is_one_line_a_hint_and_exit_78(tmp_path: Path, still: Path, extra: str, word: str, hint: str) -> None:
    config = configure(tmp_path, 1, still, extra=extra)
    done = ostiaryd("run", "--config", config)
    assert done.returncode == 78, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert len(lines) == 2 and word in lines[0] and hint in lines[1] and lines[1].startswith("  hint: "), done.stderr


def test_a_live_camera_has_no_end_to_wait_for(tmp_path: Path) -> None:
    done = ostiaryd("run", "--config", configure(tmp_path, 1, Path("/dev/video99")), "--until-end")
    assert done.returncode == 78 and "no end" in done.stderr, done.stderr


def test_a_damaged_template_serves_nobody(tmp_path: Path, still: Path, portrait: Path) -> None:
    store = open_store(tmp_path / "state")
    with store.transaction():
        store.put_person(Person("E1"))
        store.add_template("E1", bundle_id(DEFAULT_BUNDLE), np.full(128, np.nan, np.float32), b"", 0.0)
    store.close()
    done = ostiaryd("run", "--config", configure(tmp_path, 1, still))
    assert done.returncode == 1 and "template 1 of E1 is damaged" in done.stderr and "hint" in done.stderr, done.stderr


def spoil(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


def state_of_two(tmp_path: Path) -> Path:
    """A state folder with two people; returns its database."""
    store = open_store(tmp_path / "state")
    with store.transaction():
        for number, person in enumerate(("E1", "E2")):
            store.put_person(Person(person))
            store.add_template(person, bundle_id(DEFAULT_BUNDLE), np.eye(128, dtype=np.float32)[number], b"", 0.0)
    store.close()
    return tmp_path / "state" / "gallery.sqlite"


@pytest.mark.parametrize(
    ("spoilt", "word"),
    [("missing", "is missing"), ("wrong", "not the key of"), ("open", "others may read it"), ("cut", "does not hold a key")],
)
def test_a_key_that_is_not_right_is_one_line_a_hint_and_exit_78(tmp_path: Path, still: Path, spoilt: str, word: str) -> None:
    state_of_two(tmp_path)
    key = tmp_path / "state" / "key"
    match spoilt:
        case "missing":
            key.unlink()
        case "wrong":
            key.write_text("0123456789abcdef" * 4)
        case "open":
            key.chmod(0o644)
        case "cut":
            key.write_text(key.read_text()[:20])
    config = configure(tmp_path, 1, still)
    for program in ("run", "rotate-key"):
        done = ostiaryd(program, "--config", config)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        assert done.returncode == 78 and len(lines) == 2 and word in lines[0] and lines[1].startswith("  hint: "), done.stderr
    checked = ostiaryd("check", "--config", config).stdout
    assert re.search(r"✗\s+gallery", checked) and word in " ".join(checked.split()), checked


def test_check_names_who_is_damaged_and_who_is_not(tmp_path: Path, still: Path) -> None:
    gallery = state_of_two(tmp_path)
    config = configure(tmp_path, 1, still)
    whole = ostiaryd("check", "--config", config).stdout
    assert re.search(r"✓\s+gallery\s+2 people, 2 templates", whole), whole
    spoil(gallery, "UPDATE people SET sealed = zeroblob(99) WHERE person = 'E2'")
    spoilt = " ".join(ostiaryd("check", "--config", config).stdout.split())
    assert "✗ gallery" in spoilt and "damaged" in spoilt and "people 'E2'; templates 2" in spoilt, spoilt


@pytest.mark.broker
def test_a_damaged_record_serves_nobody_the_others_are_served_and_the_status_says_so(tmp_path: Path, broker: int, still: Path) -> None:
    spoil(state_of_two(tmp_path), "UPDATE people SET sealed = zeroblob(99) WHERE person = 'E2'")
    config = configure(tmp_path, broker, still)
    with daemon_running(config):
        status = ctl(config, "status").stdout
        assert "store_damaged: 1 person and 1 template" in status and '"templates":1' in status.replace(" ", ""), status
        listed = ctl(config, "list").stdout
        assert "E1" in listed and "E2" not in listed


def test_a_new_key_for_the_store(tmp_path: Path, still: Path) -> None:
    state_of_two(tmp_path)
    key = (tmp_path / "state" / "key").read_bytes()
    done = ostiaryd("rotate-key", "--config", configure(tmp_path, 1, still))
    assert done.returncode == 0 and "8 records" in done.stdout, done.stderr
    assert (tmp_path / "state" / "key").read_bytes() != key
    store = open_store(tmp_path / "state", read_only=True)
    assert [p.person for p in store.people()] == ["E1", "E2"] and len(store.templates()) == 2
    store.close()


# ---- the audit chain


def head_of(config: Path) -> dict[str, object]:
    status = json.loads(ctl(config, "status").stdout.splitlines()[-1])
    found = status.get("north", status)["audit"]
    assert isinstance(found, dict), status
    return found


@pytest.mark.broker
def test_the_audit_chain_is_followed_beside_a_running_daemon_and_names_nobody_who_was_revoked(
    tmp_path: Path, broker: int, portrait: Path, still: Path
) -> None:
    config = configure(tmp_path, broker, still)
    with daemon_running(config) as process:
        assert result(ctl(config, "enroll", "E1-unmistakable", "--image", portrait, "--name", "Unmistakable"))["status"] == "done"
        mine = ostiaryd("audit", "--config", config, "--person", "E1-unmistakable", "--json").stdout.splitlines()
        record = json.loads(mine[0])["record"]
        assert (record["kind"], record["op"], record["status"]) == ("command", "enroll", "done") and record["pseudonym"]
        told = head_of(config)
        assert result(ctl(config, "revoke", "E1-unmistakable"))["status"] == "done"
        checked = ostiaryd("check", "--config", config, "--audit", "--head", told["head"])
        assert checked.returncode == 0 and re.fullmatch(r"audit: records 1 to \d+, unbroken; head [0-9a-f]{64}\n", checked.stdout), checked
        gone = ostiaryd("audit", "--config", config, "--person", "E1-unmistakable")
        assert gone.returncode == 1 and "is not enrolled here" in gone.stderr and len(gone.stderr.splitlines()) == 2, gone
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    listed = ostiaryd("audit", "--config", config).stdout
    assert "start" in listed and "revoke" in listed and listed.count(record["pseudonym"]) >= 2 and "nmistakable" not in listed
    everything = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"Unmistakable" not in everything
    assert ostiaryd("check", "--config", config, "--head", told["head"]).returncode == 0


def test_a_broken_chain_is_one_line_a_hint_and_exit_1(tmp_path: Path, still: Path) -> None:
    gallery, config = state_of_two(tmp_path), configure(tmp_path, 1, still)
    store = open_store(tmp_path / "state")
    for _ in range(3):
        with store.transaction():
            head = store.audit.append(1.0, KeyChanged()).digest.hex()
    store.close()
    whole = ostiaryd("check", "--config", config, "--head", head)
    assert whole.returncode == 0 and f"records 1 to 3, unbroken; head {head}" in whole.stdout, whole
    other = ostiaryd("check", "--config", config, "--audit", "--head", "00" * 32)
    assert other.returncode == 1 and "none of its records 1 to 3 has that head" in other.stderr, other
    for usage in (("--head", "00"), ("--head", "xyz")):
        assert ostiaryd("check", "--config", config, *usage).returncode == 2
    assert ostiaryd("audit", "--config", config, "--since", "yesterday").returncode == 2
    spoil(gallery, "UPDATE audit SET digest = zeroblob(32) WHERE number = 2")
    done = ostiaryd("check", "--config", config, "--audit")
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and done.stdout == "" and len(lines) == 2, done
    assert lines[0].startswith("ostiaryd: the audit chain is broken at record 2: ") and lines[1].startswith("  hint: ")


def test_where_no_chain_is(tmp_path: Path, still: Path) -> None:
    done = ostiaryd("check", "--config", configure(tmp_path, 1, still), "--audit")
    assert done.returncode == 1 and "no gallery there" in done.stderr and not (tmp_path / "state").exists(), done


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(tmp_path: Path, still: Path) -> None:
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    done = ostiaryd("run", "--config", configure(tmp_path, 1, still, extra='[model]\nprovider = "cuda"\n'))
    assert done.returncode == 78 and "CUDA" in done.stderr, done.stderr


def test_check_says_what_works_and_what_does_not(tmp_path: Path, still: Path) -> None:
    done = ostiaryd("check", "--config", configure(tmp_path, 1, still))
    assert done.returncode == 1
    assert re.search(r"✓\s+model.*golden check passed", done.stdout) and re.search(r"✗\s+broker", done.stdout), done.stdout
    assert not (tmp_path / "state").exists()


def test_no_telemetry_is_left_behind(tmp_path: Path, portrait: Path, still: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-m", "daemon", "replay", str(still), "--enroll", f"E1={portrait}"],
        cwd=ROOT, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    assert not (tmp_path / ".cache" / "Microsoft").exists() and not (tmp_path / ".config" / "Microsoft").exists()
