"""The roster's connection to the broker: one for the whole box, with an id and a session of its own."""

from daemon.config import Config
from daemon.core.people.roster_head import HEAD
from daemon.core.people.roster_wire import groups, topic
from daemon.core.people.site_keys import key_topic
from daemon.edges.mqtt import MqttLink, client_id
from daemon.edges.mqtt.news import Deliver


def roster_link(config: Config, tag: str, deliver: Deliver) -> MqttLink:
    """The connection. Heads and keys come with every connection, records when they are asked for: there may be a hundred thousand. Raises
    ConfigError."""
    name = config.roster.name
    mqtt = config.mqtt.of(name)
    return MqttLink(
        mqtt,
        site=config.site,
        gate=name,
        client_id=client_id(config.site, name, f"{tag}-roster"),
        password=mqtt.password(),
        offline=None,
        deliver=deliver,
        name="roster",
        always=(topic(config.site, HEAD, "+"), key_topic(config.site, name)),
        wide=tuple(one for group in groups(config.site, None) for one in group),
    )
