"""The gallery in memory: every template's vector, and the nearest person to a probe.

The matrix (`matrix.py`) is the truth and hnswlib's graph (`graph.py`) only proposes candidates: similarities are always computed exactly
from the matrix, so a damaged or stale graph can miss somebody but never invent a match. The graph is built aside (`background.py`) and is
believed only while it passes its self-recall audit (`audit.py`); whenever there is none to believe, the exact search serves.
"""

from daemon.edges.gallery.gallery import CANDIDATES, EXACT_NUMBERS, Gallery, GraphState
from daemon.edges.gallery.vectors import VectorError, sound

__all__ = ["CANDIDATES", "EXACT_NUMBERS", "Gallery", "GraphState", "VectorError", "sound"]
