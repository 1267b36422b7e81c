"""What Home Assistant is told about a gate: topics that it reads, keys that it knows, ids that nobody else has."""

import itertools
import json
import re

import msgspec
import pytest

from daemon.core.home_assistant import Options, discovery, node
from daemon.core.messages import DecisionMessage, StatusMessage
from tests.serving.test_former_gates import NAMES

EVERYTHING = Options(prefix="homeassistant", version="1.2.3", names=True, capture=True)
LEAST = Options(prefix="ha/one", version="1.2.3", names=False, capture=False)
HARD = ["north", "a.b", "a_b", "a-b", "a_db", "-", ".", "_", "x" * 64, "_" * 64]

ALL = {
    "unique_id", "name", "icon", "device", "origin", "qos", "availability_topic", "availability_template", "entity_category",
    "json_attributes_topic", "json_attributes_template",
}  # fmt: skip
DOCUMENTED = {
    "event": {"state_topic", "event_types", "value_template"},
    "sensor": {"state_topic", "value_template", "device_class", "options", "state_class", "unit_of_measurement"},
    "binary_sensor": {"state_topic", "value_template", "device_class"},
    "text": {"command_topic", "min", "max", "pattern"},
    "button": {"command_topic", "command_template"},
}
"""The keys that Home Assistant documents, of those that are used. tests/deploy/test_home_assistant.py asks Home Assistant itself."""


@pytest.mark.parametrize("gate", HARD)
def test_topics_and_keys_are_such_that_home_assistant_takes_them(gate: str) -> None:
    for options in (EVERYTHING, LEAST):
        for topic, config in discovery("acme", gate, options).items():
            found = re.fullmatch(rf"{options.prefix}/(\w+)/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)/config", topic)
            assert found is not None and found[2] == node("acme", gate)
            assert set(config) <= ALL | DOCUMENTED[found[1]], topic
            assert json.loads(msgspec.json.encode(config))["device"]["identifiers"] == [f"ostiary/acme/{gate}"]


def test_no_two_gates_of_any_sites_share_a_topic_an_id_or_a_node() -> None:
    pairs = list(itertools.product({*NAMES, *HARD}, repeat=2))
    assert len({node(site, gate) for site, gate in pairs}) == len(pairs)
    told = [(topic, config["unique_id"]) for site, gate in pairs for topic, config in discovery(site, gate, EVERYTHING).items()]
    assert len({topic for topic, _ in told}) == len({ident for _, ident in told}) == len(told)


def test_every_field_that_a_template_reads_is_the_contracts() -> None:
    known = {"decision": DecisionMessage.__struct_fields__, "status": StatusMessage.__struct_fields__}
    for config in discovery("acme", "north", EVERYTHING).values():
        for key in ("value_template", "json_attributes_template", "availability_template"):
            source = str(config.get({"json_attributes_template": "json_attributes_topic"}.get(key, "state_topic"), "")).rsplit("/", 1)[-1]
            source = "status" if key == "availability_template" else source
            if source in known:
                assert set(re.findall(r"value_json\.(\w+)", str(config.get(key, "")))) <= set(known[source])


def test_names_and_the_button_are_there_only_when_asked_for() -> None:
    least = discovery("acme", "north", LEAST)
    assert "value_json.name" not in json.dumps(list(map(dict, least.values()))), "nothing asks for a name"
    assert not [topic for topic in least if "/button/" in topic or "/text/" in topic]
    more = discovery("acme", "north", EVERYTHING)
    assert "homeassistant/button/ostiary-acme-north/capture/config" in more
    assert sum("value_json.name" in str(config) for config in more.values()) == 2
