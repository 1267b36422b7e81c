"""The metrics as Prometheus sees them, over HTTP."""

import math
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.core.status import Word
from daemon.core.values import Quality, Reason, Verdict
from daemon.edges.metrics import METRICS, Exporter, Metrics, MetricsError, MetricsServer
from daemon.edges.metrics.server import AGAIN_S, MOST_OPEN


@pytest.fixture
def served() -> Iterator[tuple[Metrics, MetricsServer]]:
    metrics = Metrics()
    server = metrics.serve("127.0.0.1", 0)
    yield metrics, server
    server.close()


def scrape(server: MetricsServer) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as response:
        return str(response.read().decode("utf-8"))


def touch_everything(metrics: Metrics) -> None:
    metrics.frame("north")
    metrics.dropped("north", "busy")
    metrics.face("north", Quality.TOO_SMALL)
    metrics.spared("north", 2)
    metrics.decision("north", Verdict.ACCEPT, Reason.MATCHED)
    metrics.stage("embed", 0.011)
    metrics.capture_to_publish("north", 0.12)
    metrics.gallery(3, 7, 12)
    metrics.graph("failed", 0.875)
    metrics.threshold("north", 0.42)
    metrics.command("enroll", "done", None)
    metrics.camera("north", True)
    metrics.broker("north", False)
    metrics.gate_state("north", "closed")
    metrics.gate_reasons("north", {Word.DISK})
    metrics.disk_free(10**9)
    metrics.outbox(4)
    metrics.outbox_dropped("north", 2)
    metrics.recording_bytes(1_000_000)
    metrics.recording_dropped("north", 2)
    metrics.info("0.1.0", "faces", "cpu")
    metrics.heartbeat()


def test_every_metric_of_the_table_is_served_with_its_labels_and_nothing_else(served: tuple[Metrics, MetricsServer]) -> None:
    metrics, server = served
    touch_everything(metrics)
    families = {f.name: f for f in text_string_to_metric_families(scrape(server)) if not f.name.startswith("process_")}
    expected = {m.name.removesuffix("_total"): m for m in METRICS}
    assert set(families) == set(expected)
    for name, family in families.items():
        assert (family.type, family.documentation) == (expected[name].kind, expected[name].help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(expected[name].labels)


def test_the_values_are_what_was_said(served: tuple[Metrics, MetricsServer]) -> None:
    metrics, server = served
    touch_everything(metrics)
    metrics.info("0.1.0", "better", "cuda")
    text = scrape(server)
    for line in (
        'ostiary_frames_total{gate="north"} 1.0',
        'ostiary_frames_dropped_total{gate="north",reason="busy"} 1.0',
        'ostiary_faces_total{gate="north",quality="too_small"} 1.0',
        'ostiary_faces_spared_total{gate="north"} 2.0',
        'ostiary_decisions_total{decision="accept",gate="north",reason="matched"} 1.0',
        'ostiary_stage_seconds_bucket{le="0.01",stage="embed"} 0.0',
        'ostiary_stage_seconds_bucket{le="0.02",stage="embed"} 1.0',
        'ostiary_capture_to_publish_seconds_bucket{gate="north",le="0.15"} 1.0',
        "ostiary_gallery_people 3.0",
        "ostiary_gallery_templates 7.0",
        "ostiary_gallery_revision 12.0",
        'ostiary_graph_state{state="failed"} 1.0',
        'ostiary_graph_state{state="serving"} 0.0',
        "ostiary_graph_recall 0.875",
        'ostiary_threshold{gate="north"} 0.42',
        'ostiary_commands_total{op="enroll",reason="",status="done"} 1.0',
        'ostiary_camera_up{gate="north"} 1.0',
        'ostiary_broker_up{gate="north"} 0.0',
        'ostiary_gate_state{gate="north",state="closed"} 1.0',
        'ostiary_gate_state{gate="north",state="serving"} 0.0',
        "ostiary_outbox_depth 4.0",
        'ostiary_info{model="better",provider="cuda",version="0.1.0"} 1.0',
    ):
        assert line in text.splitlines()
    assert 'model="faces"' not in text
    heartbeat = next(line for line in text.splitlines() if line.startswith("ostiary_engine_heartbeat_timestamp_seconds "))
    assert abs(float(heartbeat.split()[1]) - time.time()) < 60


def test_labels_are_bounded_and_name_nobody(served: tuple[Metrics, MetricsServer]) -> None:
    metrics, server = served
    metrics.command("open sesame", "refused", "duplicate_of E1042")
    metrics.command(None, "refused", "malformed")
    for n in range(1000):
        metrics.command("enroll", "refused", "word_" + "".join(chr(97 + int(d)) for d in str(n)))
    text = scrape(server)
    assert "sesame" not in text
    assert "E1042" not in text
    assert 'ostiary_commands_total{op="other",reason="malformed",status="refused"} 1.0' in text
    assert len([line for line in text.splitlines() if line.startswith("ostiary_commands_total{")]) < 80
    assert not any(label in ("person", "name", "source", "url") for metric in METRICS for label in metric.labels)


def test_a_threshold_that_is_not_there_is_no_number(served: tuple[Metrics, MetricsServer]) -> None:
    served[0].threshold("north", None)
    line = next(line for line in scrape(served[1]).splitlines() if line.startswith("ostiary_threshold{"))
    assert math.isnan(float(line.split()[1]))


def test_a_busy_port_is_one_clear_error(served: tuple[Metrics, MetricsServer]) -> None:
    with pytest.raises(MetricsError, match="cannot be served") as caught:
        Metrics().serve("127.0.0.1", served[1].port)
    assert "metrics.port" in caught.value.hint


def test_the_process_is_measured_too(served: tuple[Metrics, MetricsServer]) -> None:
    names = {f.name for f in text_string_to_metric_families(scrape(served[1]))}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds"} <= names


def handles_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_idle_connections_use_up_nothing_and_keep_nobody_out(served: tuple[Metrics, MetricsServer]) -> None:
    _, server = served
    handles = handles_open()
    idle = []
    try:
        for _ in range(300):
            idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        assert "ostiary_threshold" in scrape(server)
        deadline_s = time.monotonic() + 30
        while handles_open() - handles - len(idle) > MOST_OPEN + 2 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert handles_open() - handles - len(idle) <= MOST_OPEN + 2
        assert threading.active_count() < MOST_OPEN + 10
        # Whoever sends half a request, or a byte now and then, is closed too.
        idle[-1].sendall(b"GET /metrics HTTP/1.1\r\n")
        while handles_open() > handles + len(idle) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert handles_open() <= handles + len(idle), "those that say nothing are closed after a while"
    finally:
        for connection in idle:
            connection.close()
    assert "ostiary_threshold" in scrape(server)


def test_the_metrics_wait_for_their_address(served: tuple[Metrics, MetricsServer]) -> None:
    now_s = 0.0
    metrics, port = Metrics(), served[1].port
    exporter = Exporter(lambda: metrics.serve("127.0.0.1", port), lambda: now_s)
    why = exporter.trouble()
    assert why is not None and f"127.0.0.1:{port}" in why
    served[1].close()
    assert exporter.trouble() == why, "it is not tried all the time"
    now_s = AGAIN_S
    assert exporter.trouble() is None and exporter.trouble() is None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        assert b"ostiary_threshold" in response.read()
    exporter.close()


def test_a_name_that_does_not_resolve_may_do_so_later() -> None:
    exporter = Exporter(lambda: Metrics().serve("no-such-host.invalid", 0))
    assert "no-such-host.invalid" in str(exporter.trouble())
    exporter.close()


def test_an_unusable_address_is_one_clear_error() -> None:
    with pytest.raises(MetricsError):
        Metrics().serve("203.0.113.1", 0)


def test_two_daemons_in_one_process_do_not_meet() -> None:
    one, two = Metrics(), Metrics()
    one.frame("north")
    server = two.serve("127.0.0.1", 0)
    try:
        assert "ostiary_frames_total{" not in scrape(server)
    finally:
        server.close()


def test_rare_events_are_counted_from_zero(served: tuple[Metrics, MetricsServer]) -> None:
    """Prometheus sees no increase in a series that begins with its first event."""
    metrics, server = served
    metrics.gate("north")
    shown = scrape(server)
    for series in (
        'session_incidents_total{gate="north",incident="session_taken_over"}',
        'session_incidents_total{gate="north",incident="session_lost"}',
        'commands_unanswered_total{gate="north"}', 'outbox_dropped_total{gate="north"}',
    ):  # fmt: skip
        assert f"ostiary_{series} 0.0" in shown
