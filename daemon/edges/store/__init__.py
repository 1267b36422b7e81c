"""The durable half of the daemon: people, templates, answers and waiting messages, sealed at rest with the box's key."""

from daemon.edges.store.audit import AuditTable, Walked
from daemon.edges.store.errors import StoreError, VaultError
from daemon.edges.store.opening import gallery_file, open_store
from daemon.edges.store.records import Damage
from daemon.edges.store.rotation import rotate_key
from daemon.edges.store.schema import SCHEMA
from daemon.edges.store.store import KEEP_RESULTS_S, Pending, Store
from daemon.edges.store.templates import Page

__all__ = [
    "KEEP_RESULTS_S",
    "SCHEMA",
    "AuditTable",
    "Damage",
    "Page",
    "Pending",
    "Store",
    "StoreError",
    "VaultError",
    "Walked",
    "gallery_file",
    "open_store",
    "rotate_key",
]
