"""Made-up people as vectors: strangers have independent directions, pictures of a person lie around theirs."""

import dataclasses

import numpy as np

from trainer.people.data import Crops


@dataclasses.dataclass
class Crowd:
    """Crops with noise for pictures, and their vectors."""

    crops: Crops
    vectors: np.ndarray
    marks: np.ndarray


def crowd(counts: list[int], seed: int = 1, spread: float = 0.5, dimensions: int = 32) -> Crowd:
    """People with so many pictures each. Two pictures of one person are about 1 / (1 + spread²) alike, strangers 0 ± 0.18."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(len(counts)), counts)
    middle = unit(rng.normal(size=(len(counts), dimensions)))
    vectors = unit(middle[person] + spread * unit(rng.normal(size=(len(person), dimensions))))
    pixels = rng.integers(0, 256, (len(person), 16, 16, 3)).astype(np.uint8)
    people = tuple(f"p{index:03d}" for index in range(len(counts)))
    names = tuple(f"{people[who]}/{index:04d}.png" for index, who in enumerate(person))
    return Crowd(Crops(pixels, people, person, names, "digest"), vectors.astype(np.float32), np.arange(len(person)).astype(np.uint64))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def rows_of(made: Crowd, person: int) -> np.ndarray:
    """The numbers of a person's crops."""
    return np.flatnonzero(made.crops.person == person)
