from pathlib import Path
from typing import Any

import pytest

from daemon.config import ConfigError, load, parse, read_secret

GOOD: dict[str, Any] = {"site": "hq", "gates": {"north": {"source": "rtsp://camera/1"}}}


def test_the_least_configuration_has_the_documented_defaults() -> None:
    config = parse(GOOD)
    assert (config.mqtt.host, config.metrics.host, config.detector.kind, config.decision.patience) == ("127.0.0.1", "127.0.0.1", "haar", 10)


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"sit": "hq"}, "unknown key `sit`", "`site`"),
        ({"gates": {"north": {"sorce": "x"}}}, "unknown key `gates.north.sorce`", "`gates.north.source`"),
        ({"decision": {"treshold": 0.5}}, "unknown key `decision.treshold`", "`decision.threshold`"),
        ({"decision": {"threshold": 1.5}}, "no usable similarity", "cosines"),
        ({"decision": {"threshold": float("nan")}}, "no usable similarity", "cosines"),
        ({"decision": {"threshold": 0.3, "site_calibration": "site.toml"}}, "in place of the card's", "one of the two"),
        ({"decision": {"min_frames": 11}}, "shorter than min_frames", "at least min_frames"),
        ({"decision": {"target_fpir": 0}}, "no rate", "stranger"),
        ({"decision": {"tries": "three"}}, "Expected `int`", "deploy/config.toml"),
        ({"liveness": {"require": True}}, "without liveness.model", "nobody"),
        ({"liveness": {"frames": 0}}, "not 1 to decision.min_frames", "min_frames"),
        ({"liveness": {"frames": 6}}, "not 1 to decision.min_frames", "min_frames"),
        ({"liveness": {"threshold": 1.0}}, "no usable probability", "0.5"),
        ({"liveness": {"threshold": float("nan")}}, "no usable probability", "0.5"),
        ({"liveness": {"modell": "x"}}, "unknown key `liveness.modell`", "`liveness.model`"),
        ({"audit": {"keep_days": 0}}, "out of range", "365"),
        ({"audit": {"keep_days": 10**9}}, "out of range", "365"),
        ({"recording": {"most_mb": 99}}, "recording.most_mb = 99 is below 100 for each of 1 gates", "4000"),
        ({"recording": {"keep_days": 0}}, "recording.keep_days = 0.0 is out of range", "3 is"),
        ({"recording": {"keep_days": float("nan")}}, "recording.keep_days = nan is out of range", "3 is"),
        ({"flight": {"minutes": -1}}, "flight.minutes = -1.0 is out of range", "60"),
        ({"flight": {"most_mb": 0}}, "flight.most_mb = 0 is below 1", "64"),
        ({"recordings": {}}, "unknown key `recordings`", "`recording`"),
        ({"gates": {}}, "no gate", "[gates.NAME]"),
        ({"schedules": {"office": {"zone": "Mars/Olympus", "times": ["mon 07:00-19:00"]}}}, "is no time zone", "Europe/Berlin"),
        ({"schedules": {"office": {"zone": "UTC", "times": ["daily 07:00-19:00"]}}}, "schedules.office", "mon-fri"),
        ({"schedules": {"office": {"zone": "UTC", "time": ["mon 07:00-19:00"]}}}, "unknown key `schedules.office.time`", "times"),
        ({"clock": {"trust": "sometimes"}}, "sometimes", "deploy/config.toml"),
        ({"gates": {"north/south": {"source": "x"}}}, "MQTT topic", "letters"),
        ({"gates": {"all": {"source": "x"}}}, "MQTT topic", "taken"),
        ({"gates": {"north": {"source": ""}}}, "source is empty", "URL"),
        ({"gates": ["north"]}, "Expected `object`", "deploy/config.toml"),
        ({"site": "h+q"}, "MQTT topic", "letters"),
        ({"mqtt": {"host": "10.0.0.7"}}, "not on this machine", "allow_unsigned_commands"),
        ({"mqtt": {"port": 70_000}}, "no port", "65535"),
        ({"mqtt": {"cert_file": "a.pem"}}, "go together", "both"),
        ({"commands": {"grants": ["everything"]}}, "Invalid enum value", "deploy/config.toml"),
        ({"commands": {"grant": ["force"]}}, "unknown key `commands.grant`", "`commands.grants`"),
        ({"mqtt": {"protocol": "4"}}, "Invalid enum value", "deploy/config.toml"),
    ],
)
def test_what_cannot_be_used_is_named_with_a_hint(change: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse({**GOOD, **change}, "gate.toml")
    assert message in error.value.message and "gate.toml" in error.value.message and hint in error.value.hint


def test_a_broker_elsewhere_must_be_wanted_in_so_many_words() -> None:
    assert parse({**GOOD, "mqtt": {"host": "10.0.0.7", "allow_unsigned_commands": True}}).mqtt.host == "10.0.0.7"


def test_relative_paths_are_those_of_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'site = "hq"\nstate_dir = "state"\n[gates.north]\nsource = "clip.mkv"\n[gates.east]\nsource = "/dev/video0"\n'
    )
    config = load(tmp_path / "c.toml")
    assert (config.state_dir, config.gates["north"].source) == (str(tmp_path / "state"), str(tmp_path / "clip.mkv"))
    assert config.gates["east"].source == "/dev/video0"


def test_a_second_bundle_too_and_none_stays_none(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('site = "hq"\n[model]\nnext = "two.onnx"\n[gates.north]\nsource = "clip.mkv"\n')
    model = load(tmp_path / "c.toml").model
    assert (model.bundle, model.next) == ("", str(tmp_path / "two.onnx")) and parse(GOOD).model.next == ""


def test_the_key_file_too_and_none_stays_none(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('site = "hq"\n[store]\nkey_file = "keys/box"\n[gates.north]\nsource = "clip.mkv"\n')
    assert load(tmp_path / "c.toml").store.key_file == str(tmp_path / "keys" / "box")
    assert parse(GOOD).store.key_file == ""


@pytest.mark.parametrize("text", [None, "site = ", "\xff"])
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "c.toml"
    if text is not None:
        path.write_bytes(text.encode("latin1"))
    with pytest.raises(ConfigError) as error:
        load(path)
    assert "deploy/config.toml" in error.value.hint


def test_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    assert read_secret(str(tmp_path / "secret"), "mqtt.password_file") == "hunter2"
    (tmp_path / "empty").write_text("")
    for name in ("empty", "absent"):
        with pytest.raises(ConfigError, match=r"mqtt\.password_file"):
            read_secret(str(tmp_path / name), "mqtt.password_file")
