"""schema: the contract as documents, and its examples over a real broker."""

import json
import threading

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from daemon.core import contract
from daemon.ctl import __main__ as ctl


@pytest.mark.parametrize(
    ("options", "key"), [([], "messages"), (["--asyncapi"], "asyncapi"), (["--json"], "$defs")], ids=["schemas", "asyncapi", "json"]
)
def test_schema_prints_a_document_and_needs_no_broker(options: list[str], key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["schema", *options]) == 0
    assert key in json.loads(capsys.readouterr().out)


def test_schema_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out == contract.tables()


@pytest.mark.broker
@pytest.mark.parametrize("protocol", [paho.MQTTv5, paho.MQTTv311])
def test_every_example_goes_over_a_broker_and_arrives_as_it_was(broker: int, protocol: int) -> None:
    heard: dict[str, list[bytes]] = {}
    complete, listening = threading.Event(), threading.Event()
    examples = contract.examples()
    client = paho.Client(CallbackAPIVersion.VERSION2, "reader", protocol=protocol)  # type: ignore[arg-type]

    def hear(c: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        heard.setdefault(message.topic, []).append(bytes(message.payload))
        if sum(map(len, heard.values())) == len(examples):
            complete.set()

    client.on_message = hear
    client.on_subscribe = lambda *args: listening.set()
    client.connect("127.0.0.1", broker)
    client.loop_start()
    client.subscribe("ostiary/v1/#", 1)
    assert listening.wait(5)
    for example in examples:
        client.publish(example.topic, example.payload, qos=1)
    assert complete.wait(5)
    client.disconnect()
    client.loop_stop()
    assert {(topic, payload) for topic, payloads in heard.items() for payload in payloads} == {(e.topic, e.payload) for e in examples}
    for kind in contract.SAYS.values():
        (payload,) = (payload for e in examples if e.name == kind.__name__ for payload in heard[e.topic])
        assert isinstance(msgspec.json.decode(payload, type=kind), kind)
