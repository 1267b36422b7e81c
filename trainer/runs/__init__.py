"""A run folder: what one training leaves on disk, written so that a kill at any instant leaves the older or the newer state."""

from trainer.runs.files import RunError as RunError
from trainer.runs.folder import Run as Run
from trainer.runs.state import Course as Course
from trainer.runs.state import State as State
