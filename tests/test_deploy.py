"""The files of deploy/: they parse, agree with the code, and do what they promise where that can be tried."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.edges.metrics import METRICS
from daemon.edges.store.keys import KeyPlace, read_key
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"


# ---- systemd


UNITS = sorted(path.name for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer"))


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
    assert not re.search(r"^Exec(Reload|StartPre)=", text, re.MULTILINE)
    program, command, option, path = service["ExecStart"].split()
    assert program.endswith("/bin/ostiaryd")
    assert (command, option, path) == ("run", "--config", "/etc/ostiary/config.toml")


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        assert set(unit().sections()) == {"Unit", "Service", "Install"}
        return
    for name in UNITS:
        text = (DEPLOY / name).read_text("utf-8")
        (tmp_path / name).write_text(re.sub(r"^ExecStart=/opt\S+", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE))
    for name in UNITS:
        verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True)
        assert verified.returncode == 0, verified.stderr
        # Anything that it does not know it names and ignores.
        assert f"{name}:" not in verified.stderr


@pytest.mark.parametrize("name", ["ostiary", "ostiary-backup", "ostiary-audit"])
def test_the_units_may_do_little(name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", str(DEPLOY / f"{name}.service")]
    rated = subprocess.run(command, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]


def test_every_unit_is_installed_and_removed() -> None:
    for script in ("install.sh", "uninstall.sh"):
        listed = re.search(r"^units=\((.*)\)$", (DEPLOY / script).read_text("utf-8"), re.MULTILINE)
        assert listed is not None and set(listed[1].split()) == set(UNITS), script
    for timer in DEPLOY.glob("*.timer"):
        assert "OnFailure=ostiary-failed@%n.service" in timer.with_suffix(".service").read_text("utf-8")


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
    done = install("--dry-run", "--root", str(tmp_path / "root"))
    assert done.returncode == 0, done.stderr
    assert "ostiary.service" in done.stdout
    assert not (tmp_path / "root").exists()


def test_a_dry_run_shows_that_nothing_is_switched_before_everything_is_built() -> None:
    done = install("--dry-run", "--cuda")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    built = next(n for n, line in enumerate(lines) if "pip install" in line and line.endswith("[cuda]"))
    complete = next(n for n, line in enumerate(lines) if line.endswith("/complete"))
    switched = next(n for n, line in enumerate(lines) if line.startswith("+ mv -T /opt/ostiary/venv.new /opt/ostiary/venv"))
    assert built < complete < switched
    version = re.search(r"/opt/ostiary/versions/(\S+?)/bin/python", lines[built])
    assert version is not None and re.fullmatch(r"\d+\.\d+\.\d+-[0-9a-f]{12}", version[1])
    assert str(ROOT) not in lines[built], "from a copy, so that what an earlier build left is not installed"
    assert version[1] not in install("--dry-run", "--cpu").stdout, "another build is another version"


def test_a_wheelhouse_must_be_there_and_one_version_is_not_enough(tmp_path: Path) -> None:
    refused = install("--dry-run", "--wheelhouse", str(tmp_path / "absent"))
    assert refused.returncode == 1 and "make-wheelhouse.sh" in refused.stderr
    assert install("--dry-run", "--keep", "1").returncode == 1


def test_the_key_is_made_once_and_in_no_image(tmp_path: Path) -> None:
    assert install("--root", str(tmp_path / "image")).returncode == 0
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
    groups = msgspec.yaml.decode((DEPLOY / "alerts.yml").read_bytes())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    known = {m.name: m for m in METRICS} | {f"{m.name}_bucket": m for m in METRICS if m.kind == "histogram"}
    used = set()
    for rule in rules:
        names = re.findall(r"\bostiary_[a-z_]+\b", rule["expr"])
        assert names or rule["expr"].startswith(("up{", "process_")), rule["alert"]
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
        "ostiary_camera_up", "ostiary_gate_reason", "ostiary_gate_state", "ostiary_outbox_depth", "ostiary_frames_total",
        "ostiary_session_incidents_total", "ostiary_commands_unanswered_total", "ostiary_outbox_dropped_total",
    ):  # fmt: skip
        assert wanted in used
