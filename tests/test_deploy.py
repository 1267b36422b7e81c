"""The files of deploy/: they parse, agree with the code, and do what they promise where that can be tried."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from daemon.edges.metrics import METRICS
from daemon.edges.store.keys import KeyPlace, read_key
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"


# ---- systemd


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "ostiary.service")
    return parser


def test_the_unit_says_what_the_daemon_relies_on() -> None:
    service = unit()["Service"]
    for key, value in {
        "Type": "notify",
        "User": "ostiary",
        "Restart": "always",
        "RestartPreventExitStatus": "78",
        "LimitCORE": "0",
        "StateDirectory": "ostiary",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "DevicePolicy": "closed",
    }.items():
        assert service[key] == value
    assert 5 <= int(service["WatchdogSec"]) <= 60
    assert int(service["TimeoutStopSec"]) > 5  # the daemon ends within 5 s
    assert "ORT_DISABLE_TELEMETRY=1" in service["Environment"]
    assert "OPENBLAS_NUM_THREADS=1" in service["Environment"]
    assert not {"MemoryDenyWriteExecute", "PrivateDevices", "ProcSubset"} & set(service)
    text = (DEPLOY / "ostiary.service").read_text("utf-8")
    for device in ("video4linux", "nvidia", "nvidia-frontend", "nvidia-uvm"):
        assert f"DeviceAllow=char-{device} rw" in text
    assert "AF_INET6" in service["RestrictAddressFamilies"]
    program, command, option, path = service["ExecStart"].split()
    assert program.endswith("/bin/ostiaryd")
    assert (command, option, path) == ("run", "--config", "/etc/ostiary/config.toml")


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        assert set(unit().sections()) == {"Unit", "Service", "Install"}
        return
    copy = tmp_path / "ostiary.service"
    text = (DEPLOY / "ostiary.service").read_text("utf-8")
    copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    # Anything that it does not know it names and ignores.
    assert "ostiary.service:" not in verified.stderr


def test_user_and_folders() -> None:
    users = (DEPLOY / "sysusers.d" / "ostiary.conf").read_text("utf-8")
    assert re.search(r'^u ostiary - ".*" /var/lib/ostiary$', users, re.MULTILINE)
    folders = (DEPLOY / "tmpfiles.d" / "ostiary.conf").read_text("utf-8")
    for line in folders.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[dz] /etc/ostiary\S* 0\d{3} root ostiary -", line), line


# ---- install.sh


def install(*args: str) -> subprocess.CompletedProcess[str]:
    script = str(DEPLOY / "install.sh")
    return subprocess.run(["bash", script, "--python", sys.executable, *args], capture_output=True, text=True, timeout=60)


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    done = install("--dry-run", "--root", str(tmp_path / "root"), "--cuda")
    assert done.returncode == 0, done.stderr
    assert "[cuda]" in done.stdout
    assert not (tmp_path / "root").exists()


def test_the_key_is_made_once_and_in_no_image(tmp_path: Path) -> None:
    shown = install("--dry-run", "--no-venv").stdout
    assert "in use: its key stays" in shown or re.search(r"runuser -u ostiary -- bash -s -- /var/lib/ostiary/key", shown)
    assert install("--root", str(tmp_path / "image"), "--no-venv").returncode == 0
    assert not [path for path in (tmp_path / "image").rglob("*") if "key" in path.name]
    making = ["bash", "-s", "--", str(tmp_path / "key")]
    script = (DEPLOY / "make-key.sh").read_text("utf-8")
    assert subprocess.run(making, input=script, text=True, capture_output=True).returncode == 0
    key = read_key(KeyPlace(tmp_path / "key"))
    assert key is not None and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["key"]
    again = subprocess.run(making, input=script, text=True, capture_output=True)
    assert again.returncode != 0 and read_key(KeyPlace(tmp_path / "key")) == key and len(list(tmp_path.iterdir())) == 2


def test_installing_twice_keeps_the_configuration(tmp_path: Path) -> None:
    first = install("--root", str(tmp_path), "--no-venv")
    assert first.returncode == 0, first.stderr
    config = tmp_path / "etc" / "ostiary" / "config.toml"
    assert config.read_bytes() == (DEPLOY / "config.toml").read_bytes()
    assert config.stat().st_mode & 0o777 == 0o640
    for name in ("etc/systemd/system/ostiary.service", "usr/lib/sysusers.d/ostiary.conf", "usr/lib/tmpfiles.d/ostiary.conf"):
        assert (tmp_path / name).is_file()
    config.write_text("mine")
    second = install("--root", str(tmp_path), "--no-venv")
    assert second.returncode == 0, second.stderr
    assert config.read_text() == "mine"


def test_install_refuses_what_it_does_not_know() -> None:
    assert install("--frobnicate").returncode == 2
    refused = subprocess.run(["bash", str(DEPLOY / "install.sh"), "--dry-run", "--python", "false"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "3.11" in refused.stderr


# ---- alerts


def test_alerts_use_metrics_that_exist_with_labels_that_exist() -> None:
    rules = msgspec.yaml.decode((DEPLOY / "alerts.yml").read_bytes())["groups"][0]["rules"]
    known = {m.name: m for m in METRICS} | {f"{m.name}_bucket": m for m in METRICS if m.kind == "histogram"}
    used = set()
    for rule in rules:
        names = re.findall(r"\bostiary_[a-z_]+\b", rule["expr"])
        assert names or rule["expr"].startswith("up{"), rule["alert"]
        assert set(names) <= set(known), rule["alert"]
        for name, selector in re.findall(r"\b(ostiary_[a-z_]+)\{([a-z_]+)=", rule["expr"]):
            assert selector in known[name].labels, rule["alert"]
        labels = {label for name in names for label in known[name].labels} | {"instance", "job"}
        said = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.([a-z_]+)", said)) <= labels, rule["alert"]
        assert {"summary", "action"} <= set(rule["annotations"])
        assert rule["labels"]["severity"] in ("critical", "warning")
        used |= set(names)
    for wanted in (
        "ostiary_camera_up", "ostiary_broker_up", "ostiary_gate_state", "ostiary_outbox_depth", "ostiary_frames_total",
        "ostiary_session_incidents_total", "ostiary_commands_unanswered_total", "ostiary_outbox_dropped_total",
    ):  # fmt: skip
        assert wanted in used
