"""The roster at this box: its records come from the broker and become people here, and what desks change here becomes records there."""

from daemon.serving.roster.opening import open_roster
from daemon.serving.roster.resyncing import Resyncing
from daemon.serving.roster.roster import Roster
from daemon.serving.roster.sharing import Sharing

__all__ = ["Resyncing", "Roster", "Sharing", "open_roster"]
