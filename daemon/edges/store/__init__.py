"""The durable half of the daemon: people, templates, answers and waiting messages, sealed at rest with the box's key."""

from daemon.edges.store.audit import AuditTable, Walked
from daemon.edges.store.backup import back_up
from daemon.edges.store.dossier import Dossier, dossier_of
from daemon.edges.store.errors import BackupError, StoreError, VaultError
from daemon.edges.store.flushing import flush
from daemon.edges.store.meta import EXCHANGE, SITE, new_tag
from daemon.edges.store.opening import gallery_file, open_store
from daemon.edges.store.outbox import Pending
from daemon.edges.store.passphrase import read_passphrase
from daemon.edges.store.restoring import restore
from daemon.edges.store.results import KEEP_RESULTS_S
from daemon.edges.store.roster import Held, RosterTable
from daemon.edges.store.rotation import rotate_key
from daemon.edges.store.store import Store

__all__ = [
    "EXCHANGE",
    "KEEP_RESULTS_S",
    "SITE",
    "AuditTable",
    "BackupError",
    "Dossier",
    "Held",
    "Pending",
    "RosterTable",
    "Store",
    "StoreError",
    "VaultError",
    "Walked",
    "back_up",
    "dossier_of",
    "flush",
    "gallery_file",
    "new_tag",
    "open_store",
    "read_passphrase",
    "restore",
    "rotate_key",
]
