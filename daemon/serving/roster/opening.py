"""Building what the roster needs, from the configuration and the store."""

import secrets
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.commands.reembedding import Made
from daemon.config import Config, ConfigError
from daemon.core import sealed_box, signing
from daemon.core.people import site_keys
from daemon.core.people.roster_head import Coverage
from daemon.core.people.roster_wire import RosterError
from daemon.edges.gallery.background import Aside, Background
from daemon.edges.metrics import Metrics
from daemon.edges.mqtt import MqttLink
from daemon.edges.store import EXCHANGE, SITE, Store
from daemon.pipeline.model import Model
from daemon.pipeline.serving import Current
from daemon.serving.roster.book import Book
from daemon.serving.roster.changes import Changes
from daemon.serving.roster.inbox import Inbox
from daemon.serving.roster.keeper import Keeper
from daemon.serving.roster.link import roster_link
from daemon.serving.roster.mail import Mail
from daemon.serving.roster.post import Post
from daemon.serving.roster.reading import Reading
from daemon.serving.roster.receipts import Receipts
from daemon.serving.roster.roster import Roster
from daemon.serving.roster.state import State
from daemon.serving.roster.vectors import Vectors
from daemon.serving.roster.writing import Writing


def open_roster(
    config: Config,
    store: Store,
    current: Current,
    models: Mapping[str, Model],
    signer: Ed25519PrivateKey,
    metrics: Metrics,
    *,
    tag: str,
    wake: Callable[[], object],
    views_wait: Callable[[], bool],
    aside: Aside[Made] | None = None,
) -> tuple[Roster, MqttLink]:
    """The roster of this box, and its connection, which is not started. `tag` is the box's own word for its client ids; `wake` asks for a
    turn of the engine. The store becomes part of a roster, if it is not. Raises ConfigError, StoreError."""
    own, site = config.roster, config.site
    mine = own.writers.get(own.name)
    if mine is not None and mine.public != signing.public_text(signer):
        raise ConfigError(
            f"roster.writers.{own.name}.public is not the key of this box, which is {signing.public_text(signer)}",
            "a box that was set up anew has a new key and needs a new roster.name; the entry of the old one stays as it is",
        )
    store.share()
    metrics.shares()
    writers = {name: signing.public_key(writer.public) for name, writer in own.writers.items()}
    writers[own.name] = signer.public_key()
    keepers = {name: writers[name] for name, writer in own.writers.items() if writer.keeper and not writer.retired}
    if own.keeper:
        keepers[own.name] = signer.public_key()
    highest, whole = store.roster_place()
    edition = _edition(store)
    coverage = Coverage(highest=highest)
    retired = frozenset(name for name, writer in own.writers.items() if writer.retired)
    book = Book(site, own.name, store, signer, writers, retired, coverage, holder=edition)
    book.load()
    mail = Mail(wake)
    link = roster_link(config, tag, mail.deliver)
    keeper = Keeper(site, own.name, signer, own.head_life_s, coverage, link) if own.keeper else None
    state, changes, post = State(edition, whole, reviewed=0 if retired else None), Changes(store, current, models), Post(site, store, link)
    reading, receipts = Reading(site, link.replay), Receipts(link, store, Background("ostiary-flush", wake))
    inbox = Inbox(
        book, changes, post, reading, receipts, mail, link, state, sealed_box.private_key(_exchange(store)), signing.public_key(own.admin),
        keepers, metrics, views_wait, keeper,
    )  # fmt: skip
    vectors = Vectors(store, current, aside if aside is not None else Background("ostiary-roster", wake), wake)
    writing = Writing(book, current, post, state)
    return Roster(book, changes, writing, inbox, post, reading, vectors, receipts, mail, link, state, keeper), link


def _exchange(store: Store) -> bytes:
    """The secret that the site's keys are sealed to. It is made once."""
    secret = store.secret(EXCHANGE)
    if secret is None:
        secret = secrets.token_bytes(sealed_box.KEY_BYTES)
        with store.transaction():
            store.put_secret(EXCHANGE, secret)
    return secret


def _edition(store: Store) -> site_keys.Edition | None:
    stored = store.secret(SITE)
    try:
        return site_keys.from_bytes(stored) if stored is not None else None
    except RosterError:  # of a later daemon; the administrator's message, which the broker retains, gives them anew
        return None
