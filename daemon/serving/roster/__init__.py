"""The roster at this box: its records come from the broker and become people here, and what desks change here becomes records there."""

from daemon.serving.roster.link import roster_link
from daemon.serving.roster.roster import Roster

__all__ = ["Roster", "roster_link"]
