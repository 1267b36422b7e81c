import base64
from pathlib import Path
from typing import Any

import pytest

from daemon.config import ConfigError, load, parse
from daemon.core.messages import LANES

GOOD: dict[str, Any] = {"site": "hq", "gates": {"north": {"source": "rtsp://camera/1"}}}
NAN = float("nan")
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="  # RFC 8032, section 7.1: of a secret that everybody knows
P = 2**255 - 19
WEAK = {
    *(y.to_bytes(32, "little") for y in (0, 1, P - 1, P, P + 1)),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}
"""The points of small order, as they can be written without the bit of their sign."""


def keys(grants: list[str] | None = None, **tables: dict[str, Any]) -> dict[str, Any]:
    """A [commands] section with these keys."""
    return {"commands": {"keys": tables} | ({} if grants is None else {"grants": grants})}


def test_the_least_configuration_has_the_documented_defaults() -> None:
    config = parse(GOOD)
    assert (config.mqtt.host, config.metrics.host, config.detector.kind, config.decision.patience) == ("127.0.0.1", "127.0.0.1", "haar", 10)


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"sit": "hq"}, "unknown key `sit`", "did you mean `site`?"),
        ({"gates": {"north": {"sorce": "x"}}}, "unknown key `gates.north.sorce`", "did you mean `gates.north.source`?"),
        ({"gates": {"north": {}}}, "gates.north.source is missing", "URL"),
        ({"gates": {"north": {"source": ""}}}, 'gates.north.source = "" is empty', "URL"),
        ({"gates": {"north": {"source": "x", "fps": 0}}}, "gates.north.fps = 0 is out of range (above 0)", "Default: 25.0."),
        ({"gates": {"north": {"source": "x", "stale_s": -1}}}, "gates.north.stale_s = -1 is out of range (above 0)", "Default: 2.0."),
        ({"gates": {"north": "x"}}, 'gates.north = "x" is not a table', "[gates.north]"),
        ({"gates": ["north"]}, 'gates = ["north"] is not a table', "[gates.NAME]"),
        ({"gates": {}}, "no gate is configured", "[gates.NAME]"),
        ({"gates": {"north/south": {"source": "x"}}}, "the gate name 'north/south' cannot be part of an MQTT topic", "letters"),
        ({"gates": {"all": {"source": "x"}}}, "the gate name 'all' cannot be part of an MQTT topic", "taken"),
        ({"gates": {"north\n": {"source": "x"}}}, "the gate name 'north\\n' cannot be part of an MQTT topic", "letters"),
        ({"other_gates": ["south", "a/b"]}, "the gate name 'a/b' cannot be part of an MQTT topic", "letters"),
        ({"other_gates": "south"}, 'other_gates = "south" is not a list of strings', "Gates of the site"),
        ({"site": "hq\n"}, "site = 'hq\\n' cannot be part of an MQTT topic", "letters"),
        ({"site": "h+q"}, "site = 'h+q' cannot be part of an MQTT topic", "letters"),
        ({"site": "all"}, "site = 'all' cannot be part of an MQTT topic", "taken"),
        ({"detector": {"min_face_px": 19}}, "detector.min_face_px = 19 is out of range (at least 20)", "Default: 40."),
        ({"decision": {"treshold": 0.5}}, "unknown key `decision.treshold`", "did you mean `decision.threshold`?"),
        ({"decision": {"zzz": 0.5}}, "unknown key `decision.zzz`", "known keys: target_fpir, threshold"),
        ({"decision": 3}, "decision = 3 is not a table", "write [decision] and its keys below"),
        ({"decision": {"threshold": 1.5}}, "decision.threshold = 1.5 is not a similarity (above 0 and below 1)", "Default: none."),
        ({"decision": {"threshold": NAN}}, "decision.threshold = nan is not a similarity (above 0 and below 1)", "the card's"),
        (
            {"decision": {"share_unknown": 15}},
            "decision.share_unknown = 15 without decision.share_unknown_to: nobody could open the pictures",
            "`ostiaryctl keygen --visitors`",
        ),
        (
            {"decision": {"share_unknown_to": "A" * 43 + "="}},
            "decision.share_unknown_to is not an X25519 public key: a weak key, and anybody can open what is sealed to it",
            "`ostiaryctl keygen --visitors` printed",
        ),
        (
            {"decision": {"share_unknown": 15, "share_unknown_to": "CQ" + "A" * 41 + "="}, "mqtt": {"protocol": "3.1.1"}},
            "decision.share_unknown needs a broker that drops the pictures in time, and mqtt.protocol is '3.1.1'",
            'set mqtt.protocol = "5", or share_unknown = 0',
        ),
        (
            {"decision": {"threshold": 0.3, "site_calibration": "site.toml"}},
            "decision.threshold replaces the card's threshold, and decision.site_calibration raises it",
            "give one of the two",
        ),
        ({"decision": {"min_frames": 11}}, "decision.patience = 10 is less than decision.min_frames = 11", "at least as many"),
        ({"decision": {"min_frames": 0}}, "decision.min_frames = 0 is out of range (at least 1)", "Default: 5."),
        ({"decision": {"target_fpir": 0}}, "decision.target_fpir = 0 is not a rate (above 0 and below 1)", "strangers"),
        ({"decision": {"target_fmr": 1}}, "decision.target_fmr = 1 is not a rate (above 0 and below 1)", "badge"),
        ({"decision": {"margin": 10}}, "decision.margin = 10 is out of range (at least 0 and below 10)", "Default: 0.27."),
        ({"decision": {"margin": 0.05}}, "decision.margin = 0.05 would hardly ask for a difference", "0.05 by default, which is 0.27 now"),
        ({"decision": {"min_s": -0.1}}, "decision.min_s = -0.1 is out of range (at least 0)", "Default: 0.2."),
        ({"decision": {"recheck_s": 0}}, "decision.recheck_s = 0 is out of range (above 0)", "Default: 1.0."),
        ({"decision": {"memory": 1}}, "decision.memory = 1 is out of range (at least 0 and below 1)", "Default: 0.95."),
        ({"decision": {"lost_s": 0}}, "decision.lost_s = 0 is out of range (above 0)", "Default: 1.0."),
        ({"decision": {"accept_valid_s": 0}}, "decision.accept_valid_s = 0 is out of range (above 0)", "Default: 3.0."),
        ({"decision": {"tries": "three"}}, 'decision.tries = "three" is not a whole number (at least 0)', "Default: 10."),
        ({"decision": {"tries": 3.0}}, "decision.tries = 3.0 is not a whole number (at least 0)", "Default: 10."),
        ({"decision": {"tries": -1}}, "decision.tries = -1 is out of range (at least 0)", "Default: 10."),
        ({"liveness": {"require": True}}, "liveness.require = true without liveness.model", "nobody"),
        ({"liveness": {"require": 1}}, "liveness.require = 1 is not true or false", "Default: false."),
        ({"liveness": {"frames": 0}}, "liveness.frames = 0 is out of range (at least 1)", "decision.min_frames"),
        ({"liveness": {"frames": 6}}, "liveness.frames = 6 is more than decision.min_frames = 5", "min_frames"),
        ({"liveness": {"threshold": 1.0}}, "liveness.threshold = 1.0 is not a probability (above 0 and below 1)", "Default: 0.5."),
        ({"liveness": {"threshold": NAN}}, "liveness.threshold = nan is not a probability (above 0 and below 1)", "Default: 0.5."),
        ({"liveness": {"modell": "x"}}, "unknown key `liveness.modell`", "did you mean `liveness.model`?"),
        ({"model": {"threads": 0}}, "model.threads = 0 is out of range (at least 1)", "Default: 1."),
        ({"enrolment": {"max_templates": 0}}, "enrolment.max_templates = 0 is out of range (at least 1)", "Default: 10."),
        ({"audit": {"keep_days": 0}}, "audit.keep_days = 0 is out of range (1 to 36500)", "Default: 365."),
        ({"audit": {"keep_days": 10**9}}, "audit.keep_days = 1000000000 is out of range (1 to 36500)", "Default: 365."),
        ({"recording": {"most_mb": 99}}, "recording.most_mb = 99 is less than 100 for each gate (1 configured)", "4000"),
        ({"recording": {"keep_days": 0}}, "recording.keep_days = 0 is out of range (above 0 and at most 36500)", "Default: 3.0."),
        ({"recording": {"keep_days": NAN}}, "recording.keep_days = nan is out of range (above 0 and at most 36500)", "Default: 3.0."),
        ({"flight": {"minutes": -1}}, "flight.minutes = -1 is out of range (0 to 52560000)", "Default: 60.0."),
        ({"flight": {"most_mb": 0}}, "flight.most_mb = 0 is less than 1 for each gate (1 configured)", "64"),
        ({"recordings": {}}, "unknown key `recordings`", "did you mean `recording`?"),
        (
            {"schedules": {"office": {"zone": "Mars/Olympus", "times": ["mon 07:00-19:00"]}}},
            "schedules.office.zone = 'Mars/Olympus' is not a time zone",
            "Europe/Berlin",
        ),
        ({"schedules": {"office": {"zone": "UTC", "times": ["daily 07:00-19:00"]}}}, "schedules.office.times: 'daily", "mon-fri"),
        ({"schedules": {"office": {"zone": "UTC", "times": "mon"}}}, 'schedules.office.times = "mon" is not a list of strings', "mon-fri"),
        ({"schedules": {"office": {"zone": "UTC", "time": ["mon 07:00-19:00"]}}}, "unknown key `schedules.office.time`", "times"),
        ({"clock": {"trust": "sometimes"}}, 'clock.trust = "sometimes" is not one of "synchronised", "always"', "a time service"),
        ({"mqtt": {"host": "10.0.0.7"}}, "mqtt.host = '10.0.0.7' is not on this machine", "allow_unsigned_commands"),
        ({"mqtt": {"port": 70_000}}, "mqtt.port = 70000 is not a port number (1 to 65535)", "Default: 1883."),
        ({"metrics": {"port": -1}}, "metrics.port = -1 is not a port number (0 to 65535)", "0 switches it off. Default: 9464."),
        ({"mqtt": {"cert_file": "a.pem"}}, "mqtt.cert_file and mqtt.key_file belong together", "both"),
        ({"mqtt": {"protocol": "4"}}, 'mqtt.protocol = "4" is not one of "5", "3.1.1"', 'Default: "5".'),
        ({"mqtt": {"protocol": 5}}, 'mqtt.protocol = 5 is not a string (one of "5", "3.1.1")', 'Default: "5".'),
        (
            {"commands": {"grants": ["everything"]}},
            'commands.grants = ["everything"] is not a list of strings (each one of "for',
            "`force`",
        ),
        ({"commands": {"grant": ["force"]}}, "unknown key `commands.grant`", "did you mean `commands.grants`?"),
        (keys(hr={"ops": []}), "commands.keys.hr.public is missing", "base64"),
        (keys(hr={"public": PUBLIC}), "commands.keys.hr.ops is missing", "none"),
        (
            keys(hr={"public": PUBLIC, "ops": ["fly"]}),
            'commands.keys.hr.ops = ["fly"] is not a list of strings (each one of "enroll"',
            "sign",
        ),
        (keys(hr={"public": "", "ops": []}), "commands.keys.hr.public is not an Ed25519 public key: 0 bytes", "keygen"),
        (keys(hr={"public": PUBLIC[:-4], "ops": []}), "commands.keys.hr.public is not an Ed25519 public key", "keygen"),
        (keys(hr={"public": "secret!", "ops": []}), "commands.keys.hr.public is not an Ed25519 public key", "keygen"),
        (keys(hr={"public": "A" * 43 + "=", "ops": []}), "commands.keys.hr.public is not an Ed25519 public key: a weak key", "keygen"),
        ({"commands": {"keys": {"h r": {"public": PUBLIC, "ops": []}}}}, "commands.keys: 'h r' is not the name of a key", "letters"),
        (keys(hr={"public": PUBLIC, "ops": [], "gates": ["south"]}), "commands.keys.hr.gates names the gate 'south'", "this box has north"),
        (keys(hr={"public": PUBLIC, "ops": [], "rate": 0}), "commands.keys.hr.rate = 0 is out of range (at least 1)", "600"),
        (keys(hr={"public": PUBLIC, "ops": [], "rate": NAN}), "commands.keys.hr.rate = nan is out of range (at least 1)", "600"),
        (keys(hr={"public": PUBLIC, "ops": [], "grants": ["fleet"]}), "commands.keys.hr.grants", "commands.grants"),
        (keys(a={"public": PUBLIC, "ops": []}, b={"public": PUBLIC, "ops": []}), "commands.keys.b.public is the key of a", "keygen"),
        (keys(["force"], hr={"public": PUBLIC, "ops": []}), "commands.grants is for unsigned commands", "`grants` of the keys"),
        (
            {**keys(hr={"public": PUBLIC, "ops": []}), "mqtt": {"allow_unsigned_commands": True}},
            "mqtt.allow_unsigned_commands = true, but with [commands.keys] every command must be signed",
            "remove",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_a_hint(change: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse({**GOOD, **change}, "gate.toml")
    assert error.value.message.startswith(f"gate.toml: {message}") and hint in error.value.hint
    assert "\n" not in error.value.message + error.value.hint


def test_what_must_be_given_is_missed() -> None:
    for key, hint in (("site", "MQTT topics"), ("gates", "[gates.NAME]")):
        with pytest.raises(ConfigError) as error:
            parse({name: value for name, value in GOOD.items() if name != key})
        assert error.value.message == f"configuration: {key} is missing" and hint in error.value.hint


def test_a_key_may_have_every_op_that_there_is() -> None:
    ops = sorted(LANES["command"])
    assert parse({**GOOD, **keys(hr={"public": PUBLIC, "ops": ops})}).commands.keys["hr"].ops == tuple(ops)


def test_a_broker_elsewhere_takes_signed_commands() -> None:
    config = parse({**GOOD, **keys(hr={"public": PUBLIC, "ops": ["ping"], "gates": ["north"]}), "mqtt": {"host": "10.0.0.7"}})
    assert config.commands.keys["hr"].ops == ("ping",) and config.commands.keys["hr"].grants == ()


@pytest.mark.parametrize("point", sorted(WEAK))
def test_a_key_for_which_anybody_can_sign_is_none(point: bytes) -> None:
    for sign_bit in (0, 0x80):
        public = base64.b64encode(point[:-1] + bytes([point[-1] | sign_bit])).decode()
        with pytest.raises(ConfigError, match="a weak key"):
            parse({**GOOD, **keys(hr={"public": public, "ops": []})})


def test_a_broker_elsewhere_must_be_allowed_explicitly() -> None:
    assert parse({**GOOD, "mqtt": {"host": "10.0.0.7", "allow_unsigned_commands": True}}).mqtt.host == "10.0.0.7"


def test_relative_paths_are_those_of_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'site = "hq"\nstate_dir = "state"\n[gates.north]\nsource = "clip.mkv"\npassword_file = "p"\n[gates.east]\nsource = "/dev/video0"\n'
        '[gates.west]\nsource = "rtsp://camera/1"\n[detector]\nkind = "yunet.onnx"\n[liveness]\nmodel = "live.onnx"\n'
        '[decision]\nsite_calibration = "site.toml"\n[mqtt]\npassword_file = "p"\nca_file = "ca"\ncert_file = "cert"\nkey_file = "key"\n'
    )
    config = load(tmp_path / "c.toml")
    assert (config.state_dir, config.gates["north"].source) == (str(tmp_path / "state"), str(tmp_path / "clip.mkv"))
    assert (config.gates["east"].source, config.gates["west"].source) == ("/dev/video0", "rtsp://camera/1")
    mqtt = config.mqtt
    assert [config.gates["north"].password_file, config.detector.kind, config.liveness.model, config.decision.site_calibration] == [
        str(tmp_path / name) for name in ("p", "yunet.onnx", "live.onnx", "site.toml")
    ]
    assert [mqtt.password_file, mqtt.ca_file, mqtt.cert_file, mqtt.key_file] == [str(tmp_path / n) for n in ("p", "ca", "cert", "key")]


def test_what_is_not_a_path_stays_as_it_is() -> None:
    config = parse(GOOD)
    assert (config.detector.kind, config.gates["north"].source) == ("haar", "rtsp://camera/1")
    assert not any((config.gates["north"].password_file, config.liveness.model, config.decision.site_calibration, config.mqtt.ca_file))


def test_a_second_bundle_too_and_none_stays_none(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('site = "hq"\n[model]\nnext = "two.onnx"\n[gates.north]\nsource = "clip.mkv"\n')
    model = load(tmp_path / "c.toml").model
    assert (model.bundle, model.next) == ("", str(tmp_path / "two.onnx")) and parse(GOOD).model.next == ""


def test_the_key_file_too_and_none_stays_none(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('site = "hq"\n[store]\nkey_file = "keys/box"\n[gates.north]\nsource = "clip.mkv"\n')
    assert load(tmp_path / "c.toml").store.key_file == str(tmp_path / "keys" / "box")
    assert parse(GOOD).store.key_file == ""


@pytest.mark.parametrize(("text", "message"), [(None, "no such file"), ("site = ", "is not valid TOML"), ("\xff", "is not valid TOML")])
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "c.toml"
    if text is not None:
        path.write_bytes(text.encode("latin1"))
    with pytest.raises(ConfigError, match=message) as error:
        load(path)
    assert "deploy/config.toml" in error.value.hint


def test_a_folder_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path)


def test_each_gate_logs_in_for_itself(tmp_path: Path) -> None:
    (tmp_path / "north-password").write_text("secret of north\n")
    names = {"username": "gate-{gate}", "password_file": "{gate}-password", "cert_file": "{gate}.crt", "key_file": "{gate}.key"}
    mqtt = parse(GOOD | {"mqtt": names}, folder=tmp_path).mqtt.of("north")
    assert (mqtt.username, mqtt.cert_file, mqtt.key_file) == ("gate-north", f"{tmp_path}/north.crt", f"{tmp_path}/north.key")
    assert mqtt.password() == "secret of north"
    with pytest.raises(ConfigError, match=r"mqtt\.password_file: .*south-password cannot be read"):
        parse(GOOD | {"mqtt": names}, folder=tmp_path).mqtt.of("south").password()


def test_one_login_for_all_gates_stays_possible() -> None:
    mqtt = parse(GOOD | {"mqtt": {"username": "ostiary"}}).mqtt
    assert mqtt.of("north") == mqtt.of("south") == mqtt and mqtt.password() is None


GATES = {"north": {"source": "x", "decision": {"threshold": 0.6}, "detector": {"min_face_px": 80}}, "south": {"source": "y"}}


def test_a_gate_has_what_it_gives_and_else_what_the_site_has() -> None:
    config = parse({
        "site": "hq",
        "gates": GATES,
        "decision": {"tries": 2, "site_calibration": "site.toml"},
        "detector": {"kind": "yunet.onnx"},
        "quality": {"max_yaw": 0.3},
    }, folder=Path("/etc/ostiary"))  # fmt: skip
    north, south = config.at("north"), config.at("south")
    assert (north.decision.threshold, north.decision.tries, north.decision.site_calibration) == (0.6, 2, "")
    assert (north.detector.kind, north.detector.min_face_px, north.quality.max_yaw) == ("/etc/ostiary/yunet.onnx", 80, 0.3)
    assert (south.decision, south.detector, south.quality) == (config.decision, config.detector, config.quality)
    assert south.decision.site_calibration == "/etc/ostiary/site.toml"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"decision": {"treshold": 0.6}}, "unknown key `gates.north.decision.treshold`"),
        ({"decision": {"patience": 2}}, "gates.north.decision.patience = 2 is less than gates.north.decision.min_frames = 5"),
        ({"decision": {"threshold": 0.6, "site_calibration": "a"}}, "gates.north.decision.threshold replaces the card's threshold"),
        ({"decision": {"share_unknown": 1}}, "gates.north.decision.share_unknown = 1 without gates.north.decision.share_unknown_to"),
        ({"detector": {"min_face_px": 2}}, "gates.north.detector.min_face_px = 2 is out of range"),
        ({"quality": 3}, "gates.north.quality = 3 is not a table"),
        ({"region": [[0.5, 0.5]]}, "gates.north.region has one corner"),
        ({"region": [[0.5, 1.5], [0.1, 0.2]]}, "gates.north.region = [[0.5, 1.5], [0.1, 0.2]] is not a list of points"),
        ({"region": [0.1, 0.2, 0.5, 0.6]}, "gates.north.region = [0.1, 0.2, 0.5, 0.6] is not a list of points"),
    ],
)
def test_what_a_gate_cannot_have_is_named(own: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"site": "hq", "gates": {"north": {"source": "x", **own}}})
    assert message in caught.value.message and caught.value.hint
