"""The gallery in memory: every template's vector, and the nearest person to a probe.

The matrix (`matrix.py`) is the truth, and hnswlib's graph (`graph.py`) only proposes candidates. Similarities are always computed exactly
from the matrix, so a damaged or stale graph can miss somebody but never invent a match. The graph is built in a background thread
(`background.py`) and is used only while it passes its self-recall audit (`audit.py`). Whenever there is no such graph, the search is exact.
"""

from daemon.edges.gallery.gallery import CANDIDATES, Gallery, GraphState
from daemon.edges.gallery.vectors import VectorError, sound

__all__ = ["CANDIDATES", "Gallery", "GraphState", "VectorError", "sound"]
