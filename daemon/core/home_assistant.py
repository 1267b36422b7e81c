"""What Home Assistant is told about a gate by MQTT discovery: retained messages, one for each entity, that name the gate's own topics.

Home Assistant makes what it shows by templates (Jinja). It renders these messages' templates and never the values, so a name with braces is
only text; whatever becomes JSON goes through `to_json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.messages import topic
from daemon.core.status import GATE_STATES, TABLE
from daemon.core.values import Verdict

Discovery = Mapping[str, object]
"""The payload of one discovery message."""

NOTICES = "|".join(word for word, row in TABLE.items() if row.severity == "notice")
OUTCOMES = [verdict.value for verdict in Verdict]
STATES = [*GATE_STATES, "offline"]

ONLINE = "{{ 'online' if value_json is defined and value_json.online else 'offline' }}"
STATE = "{{ value_json.state if value_json is defined else 'offline' }}"
CAMERA = "{{ 'ON' if value_json.camera == 'up' else 'OFF' }}"
PROBLEM = f"{{{{ 'ON' if value_json.reasons | reject('match', '({NOTICES})(:|$)') | list else 'OFF' }}}}"
"""A reason that is only a notice (`uncalibrated`) is no problem: the gate works as configured."""
REASONS = "{{ {'reasons': value_json.reasons, 'model': value_json.model, 'provider': value_json.provider} | to_json }}"
OUTBOX = "{{ value_json.outbox_depth if value_json.outbox_depth >= 0 else None }}"
DECISION = (
    "{{{{ {{'event_type': value_json.decision, 'reason': value_json.reason, 'person': value_json.person, {name}"
    "'sequence': value_json.sequence, 'live': value_json.live, 'valid_until': value_json.valid_until, "
    "'captured_at': value_json.captured_at, 'event_id': value_json.event_id, 'supersedes': value_json.supersedes}} | to_json }}}}"
)
PASSED = "value_json.decision == 'accept' and value_json.live"
TAKEN_BACK = "value_json.supersedes and value_json.supersedes == this.attributes.get('event_id')"
LAST = (
    f"{{% if {PASSED} %}}{{{{ {{who}} }}}}{{% elif {TAKEN_BACK} or this.state == 'unavailable' %}}unknown"
    "{% else %}{{ this.state }}{% endif %}"
)
LAST_MORE = (
    f"{{% if {PASSED} %}}{{% set one = value_json %}}{{% elif {TAKEN_BACK} %}}{{% set one = {{}} %}}{{% else %}}{{% set one = "
    "this.attributes %}{% endif %}{{ {'person': one.get('person'), 'event_id': one.get('event_id'), 'sequence': one.get('sequence'), "
    "'decided_at': one.get('decided_at')} | to_json }}"
)
"""The last person who was accepted, until that is taken back. What is delivered late (not `live`) says nothing about now."""

# Home Assistant has no function for a UUID, and no range may have more than 100,000 numbers: eight times 16 random bits.
CAPTURE = (
    "{% set number = namespace(hex='') %}{% for _ in range(8) %}{% set number.hex = number.hex ~ '%04x' | format(range(65536) | random) %}"
    "{% endfor %}{% set number = number.hex %}"
    "{% set id = [number[:8], number[8:12], number[12:16], number[16:20], number[20:]] | join('-') %}"
    "{% set field = device_entities(device_id(this.entity_id)) | select('match', 'text[.]') | first | default('text.none') %}"
    "{% set person = states(field) if has_value(field) else '' %}"
    "{{ {'command_id': id, 'op': 'enroll', 'issued_at': utcnow().isoformat(), 'expires_at': (utcnow() + timedelta(minutes=1)).isoformat(), "
    "'person': person, 'capture': {'seconds': 5}} | to_json }}"
)
"""The command `enroll` with the number in the device's only text field. While that is empty it names nobody, and the gate refuses it."""
ENROLLED = "value_json.op in ('enroll', none)"
"""A command that could not be read, such as one without a number, is answered without its `op`."""
ANSWER = (
    f"{{% if {ENROLLED} %}}{{{{ value_json.status }}}}{{% else %}}"
    "{{ this.state if this.state != 'unavailable' else 'unknown' }}{% endif %}"
)
ANSWER_MORE = (
    f"{{% set one = value_json if {ENROLLED} else this.attributes %}}{{{{ {{'reason': one.get('reason'), 'detail': one.get('detail'), "
    "'person': one.get('person')} | to_json }}"
)

_ESCAPES = str.maketrans({"-": "_-", ".": "_d", "_": "__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`names`: decisions carry names. `capture`: offer the button that enrols by the gate's camera."""

    prefix: str
    version: str
    names: bool
    capture: bool


def node(site: str, gate: str) -> str:
    """A gate's own level in the topics of discovery, which allow no dot: `-` stands between the names, and in a name `-` is `_-`, `.` is
    `_d` and `_` is `__`. No two gates have the same one, so that a broker's ACL can tell them apart."""
    return "-".join(("ostiary", site.translate(_ESCAPES), gate.translate(_ESCAPES)))


def discovery(site: str, gate: str, options: Options) -> dict[str, Discovery]:
    """The discovery messages of one gate, by topic."""
    status, decision = topic(site, gate, "status"), topic(site, gate, "decision")
    device = {
        "identifiers": [f"ostiary/{site}/{gate}"],
        "name": f"Ostiary gate {gate}",
        "manufacturer": "Ostiary",
        "model": "gate",
        "sw_version": options.version,
    }
    available = {"availability_topic": status, "availability_template": ONLINE}
    about: dict[str, object] = {"state_topic": status, "entity_category": "diagnostic", **available}
    name, who = ("'name': value_json.name, ", "value_json.name or value_json.person") if options.names else ("", "value_json.person")
    entities: dict[tuple[str, str], dict[str, object]] = {
        ("event", "decision"): {
            "name": "Decision", "icon": "mdi:gate", "state_topic": decision, "event_types": OUTCOMES,
            "value_template": DECISION.format(name=name), **available,
        },
        ("sensor", "state"): {
            "name": "State", "icon": "mdi:gate-alert", "device_class": "enum", "options": STATES, "state_topic": status,
            "value_template": STATE, "json_attributes_topic": status, "json_attributes_template": REASONS,
        },
        ("sensor", "last_person"): {
            "name": "Last person", "icon": "mdi:account-check", "state_topic": decision, "value_template": LAST.replace("{who}", who),
            "json_attributes_topic": decision, "json_attributes_template": LAST_MORE, **available,
        },
        ("binary_sensor", "problem"): {"name": "Problem", "device_class": "problem", "value_template": PROBLEM, **about},
        ("binary_sensor", "camera"): {"name": "Camera", "device_class": "connectivity", "value_template": CAMERA, **about},
        ("sensor", "people"): {
            "name": "People", "icon": "mdi:account-group", "unit_of_measurement": "people", "state_class": "measurement",
            "value_template": "{{ value_json.people }}", **about,
        },
        ("sensor", "outbox"): {
            "name": "Outbox", "icon": "mdi:tray-full", "unit_of_measurement": "messages", "state_class": "measurement",
            "value_template": OUTBOX, **about,
        },
    }  # fmt: skip
    here = node(site, gate)
    if options.capture:
        result = topic(site, gate, "result")
        entities |= {
            ("text", "person"): {
                "name": "Employee number", "icon": "mdi:badge-account", "command_topic": f"{options.prefix}/text/{here}/person/set",
                "min": 1, "max": 64, "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$", **available,
            },
            ("button", "capture"): {
                "name": "Capture", "icon": "mdi:camera-account", "command_topic": topic(site, gate, "command/enrolment"),
                "command_template": CAPTURE, **available,
            },
            ("sensor", "answer"): {
                "name": "Last enrolment", "icon": "mdi:account-plus", "state_topic": result, "value_template": ANSWER,
                "json_attributes_topic": result, "json_attributes_template": ANSWER_MORE, **available,
            },
        }  # fmt: skip
    shared = {"device": device, "origin": {"name": "Ostiary", "sw_version": options.version}, "qos": 1}
    return {
        f"{options.prefix}/{component}/{here}/{name}/config": {"unique_id": f"ostiary/{site}/{gate}/{name}", **entity, **shared}
        for (component, name), entity in entities.items()
    }
