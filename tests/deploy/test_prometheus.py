"""The alerts and the dashboard in a real Prometheus: every query is answered, and every reason raises its alert."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import pytest

from bench import dashboard
from daemon.core.status import TABLE, Severity, Word
from daemon.core.values import Quality, Reason, Verdict
from daemon.edges.metrics import METRICS, Metrics
from tests.conftest import ROOT
from tests.fixtures.mosquitto import free_port, wait_for_port

ALERTS = ROOT / "deploy" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"

pytestmark = pytest.mark.prometheus

SEVERITIES: dict[Severity, str] = {"closes": "critical", "critical": "critical", "warning": "warning", "notice": "warning"}


@pytest.fixture(scope="module")
def installed() -> None:
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")


def rules() -> list[dict[str, Any]]:
    return [rule for group in msgspec.yaml.decode(ALERTS.read_bytes())["groups"] for rule in group["rules"]]


def reason_rules() -> dict[Word, dict[str, Any]]:
    found = {}
    for rule in rules():
        if (match := re.fullmatch(r'ostiary_gate_reason\{reason="(\w+)"\} == 1', rule["expr"])) is not None:
            found[Word(match[1])] = rule
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """(panel, query) of the dashboard, with its variables filled in."""
    filled = []
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "1m").replace("$gate", ".*").replace("$instance", ".*")
            assert "$" not in text
            filled.append((panel["title"], text))
    return filled


# ---- without Prometheus


def test_every_reason_has_its_alert_in_the_words_of_the_table() -> None:
    found = reason_rules()
    assert set(found) == set(Word)
    for word, rule in found.items():
        assert rule["labels"]["severity"] == SEVERITIES[TABLE[word].severity], word
        assert rule["annotations"]["action"] == TABLE[word].step, word
        assert rule["alert"] == "Ostiary" + "".join(part.capitalize() for part in word.split("_"))


def test_the_dashboard_shows_every_metric_and_nothing_else() -> None:
    known = {metric.name: metric for metric in METRICS}
    text = " ".join(query for _, query in queries())
    used = {re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in known else name
            for name in re.findall(r"\bostiary_[a-z_]+", text)}  # fmt: skip
    assert used == set(known)
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        place = panel["gridPos"]
        assert panel["title"] and panel["description"] and place["x"] + place["w"] <= 24, panel["title"]
    for number, one in enumerate(panels()):
        for other in panels()[:number]:
            a, b = one["gridPos"], other["gridPos"]
            apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
            assert apart, (one["title"], other["title"])


# ---- with Prometheus


def test_promtool_takes_the_rules(installed: None) -> None:
    done = subprocess.run(["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_reason_raises_its_alert_and_no_other(installed: None, tmp_path: Path) -> None:
    """Each word is the reason of a gate of that name, for long enough."""
    series = [
        {"series": f'ostiary_gate_reason{{gate="{gate}",reason="{word}"}}', "values": "0x2 1x60 0x10" if gate is word else "0x72"}
        for gate in Word
        for word in Word
    ]
    asked: list[dict[str, Any]] = []
    for word, rule in reason_rules().items():
        labels = {"severity": rule["labels"]["severity"], "gate": str(word), "reason": str(word)}
        texts = {name: text.replace("{{ $labels.gate }}", word) for name, text in rule["annotations"].items()}
        asked += [{"eval_time": at, "alertname": rule["alert"], "exp_alerts": []} for at in ("30m", "35h")]
        asked.append({"eval_time": "30h", "alertname": rule["alert"], "exp_alerts": [{"exp_labels": labels, "exp_annotations": texts}]})
    test = {"interval": "30m", "input_series": series, "alert_rule_test": asked}
    path = tmp_path / "alerts_test.yml"
    path.write_bytes(msgspec.json.encode({"rule_files": [str(ALERTS)], "evaluation_interval": "30m", "tests": [test]}))  # JSON is YAML
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


RAISED: dict[str, tuple[list[tuple[str, str]], str]] = {
    "OstiaryDown": ([('up{job="ostiary",instance="box"}', "0x60")], "10m"),
    "OstiaryEngineStalled": ([('ostiary_engine_heartbeat_timestamp_seconds{instance="box"}', "0x60")], "10m"),
    "OstiaryGateClosed": ([('ostiary_gate_state{gate="north",state="closed"}', "1x60")], "10m"),
    "OstiaryNoFrames": ([('ostiary_camera_up{gate="north"}', "1x60"), ('ostiary_frames_total{gate="north"}', "7x60")], "20m"),
    "OstiaryOutboxGrowing": ([('ostiary_outbox_depth{instance="box"}', "0+20x60")], "30m"),
    "OstiaryMessagesDropped": ([('ostiary_outbox_dropped_total{gate="north"}', "0x10 3x50")], "20m"),
    "OstiarySessionIncident": ([('ostiary_session_incidents_total{gate="north",incident="session_lost"}', "0x10 1x50")], "20m"),
    "OstiaryCommandFlood": ([('ostiary_commands_unanswered_total{gate="north"}', "0x10 9x50")], "12m"),
    "OstiaryFileHandles": (
        [('process_open_fds{job="ostiary",instance="box"}', "900x60"), ('process_max_fds{job="ostiary",instance="box"}', "1024x60")], "20m",
    ),
    "OstiarySlow": (
        [(f'ostiary_capture_to_publish_seconds_bucket{{gate="north",le="{le}"}}', f"0+{step}x60")
         for le, step in (("2", 1), ("5", 60), ("+Inf", 60))],
        "40m",
    ),
    "OstiaryRosterRejected": ([('ostiary_roster_rejected_total{reason="bad_signature"}', "0x10 1x50")], "12m"),
    "OstiaryCommandsFail": ([('ostiary_commands_total{op="enroll",status="failed",reason="internal"}', "0x10 2x50")], "12m"),
}  # fmt: skip
"""What raises each of the other alerts, and when it is looked at."""


def test_every_other_alert_is_raised_too(installed: None, tmp_path: Path) -> None:
    others = {rule["alert"]: rule for rule in rules() if rule not in reason_rules().values()}
    assert set(others) == set(RAISED)
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": one, "values": values} for one, values in series],
            "promql_expr_test": [{"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})', "eval_time": at,
                                  "exp_samples": [{"labels": "{}", "value": 1}]}],
        }
        for name, (series, at) in RAISED.items()
    ]  # fmt: skip
    path = tmp_path / "alerts_test.yml"
    path.write_bytes(msgspec.json.encode({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def fill(metrics: Metrics) -> None:
    """Everything that a gate may say."""
    metrics.frame("north")
    metrics.roster("box-north", complete=True, head_age_s=3.0, records=7, waiting=0)
    metrics.roster_rejected("bad_signature")
    metrics.dropped("north", "overrun")
    metrics.face("north", Quality.OK)
    metrics.spared("north", 2)
    metrics.decision("north", Verdict.ACCEPT, Reason.MATCHED)
    metrics.stage("embed", 0.011)
    metrics.capture_to_publish("north", 0.12)
    metrics.gallery(3, 7, 12)
    metrics.graph("serving", 0.99)
    metrics.threshold("north", 0.42)
    metrics.command("enroll", "done", None)
    metrics.camera("north", True)
    metrics.broker("north", True)
    metrics.claim("north", "verified")
    metrics.gate_state("north", "degraded")
    metrics.gate_reasons("north", {Word.CAMERA_DOWN, Word.UNCALIBRATED})
    metrics.gate_calibrated("north", False)
    metrics.outbox(60)
    metrics.disk_free(10**9)
    metrics.recording_bytes(1_000_000)
    metrics.info("0.1.0", "faces", "cpu")
    metrics.heartbeat()


class Prometheus:
    """The real one, which scrapes some metrics every second."""

    def __init__(self, folder: Path, target: int) -> None:
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ALERTS)],
            "scrape_configs": [{"job_name": "ostiary", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        }
        (folder / "prometheus.yml").write_bytes(msgspec.json.encode(config))
        options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        options.append(f"--web.listen-address=127.0.0.1:{self.port}")
        self.process = subprocess.Popen(["prometheus", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, 60)

    @property
    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=10):
                return True
        except urllib.error.HTTPError:
            return False

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            answer = json.loads(response.read())
        assert answer["status"] == "success", answer
        return answer["data"]

    def asked(self, expr: str) -> list[dict[str, Any]]:
        found = self.get("query", query=expr)["result"]
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="module")
def prometheus(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    metrics = Metrics()
    metrics.gate("north")
    fill(metrics)
    server = metrics.serve("127.0.0.1", 0)
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), server.port)
    try:
        deadline_s = time.monotonic() + 90
        while not running.ready or not running.asked('rate(ostiary_frames_total{gate="north"}[1m]) > 0'):
            assert time.monotonic() < deadline_s
            fill(metrics)
            time.sleep(0.5)
        yield running
    finally:
        running.process.terminate()
        running.process.wait(30)
        server.close()


def test_every_query_of_the_dashboard_finds_something(prometheus: Prometheus) -> None:
    empty = [(title, query) for title, query in queries() if not prometheus.asked(query)]
    assert not empty
    values = {title: prometheus.asked(query) for title, query in queries()}
    assert [found["value"][1] for found in values["State"]] == ["1"], "degraded"
    assert {found["metric"]["reason"] for found in values["Reasons"]} == {"camera_down", "uncalibrated"}


def test_the_dashboard_is_drawn_without_grafana(prometheus: Prometheus, tmp_path: Path) -> None:
    empty = dashboard.draw(f"http://127.0.0.1:{prometheus.port}", 1.0, "30s", tmp_path / "dashboard.png")
    assert not empty
    drawn = cv2.imread(str(tmp_path / "dashboard.png"))
    assert drawn is not None and drawn.std() > 10
    with pytest.raises(SystemExit, match="is it a Prometheus"):
        dashboard.draw(f"http://127.0.0.1:{free_port()}", 1.0, "30s", tmp_path / "none.png")


def test_every_variable_of_the_dashboard_finds_something(prometheus: Prometheus) -> None:
    for variable in json.loads(DASHBOARD.read_text("utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match is not None
            assert prometheus.get(f"label/{match[2]}/values", **{"match[]": match[1].replace("$instance", ".*")})


def test_every_alert_is_evaluated_without_an_error(prometheus: Prometheus) -> None:
    for rule in rules():
        prometheus.asked(rule["expr"])
    deadline_s = time.monotonic() + 60
    while True:
        known = {each["name"]: each for group in prometheus.get("rules")["groups"] for each in group["rules"]}
        if all(each["health"] == "ok" for each in known.values()) and known["OstiaryCameraDown"]["state"] != "inactive":
            break
        assert time.monotonic() < deadline_s, known
        time.sleep(0.5)
    assert set(known) == {rule["alert"] for rule in rules()}
    assert {name for name, each in known.items() if each["state"] != "inactive"} == {"OstiaryCameraDown", "OstiaryUncalibrated"}
