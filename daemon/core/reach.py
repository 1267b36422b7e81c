"""What thresholds a number of people can give, in words: a share of 1 in N strangers takes about 3·N people beside the gallery."""

from collections.abc import Mapping, Sequence

from daemon.core.counts import counted, persons
from daemon.core.passages.defaults import TARGET_FMR, TARGET_FPIR

Reach = Mapping[float, int]
"""For each FPIR the largest gallery, in templates, that has a threshold. A rate without one is left out."""


def told(
    people: int,
    kind: str,
    reach: Reach,
    fmr: float | None,
    people_for: Mapping[float, int] | None = None,
    targets: tuple[float, float] = (TARGET_FPIR, TARGET_FMR),
) -> str:
    """One line about so many people of a kind: what they can show, and what a gate with these `targets` (FPIR, FMR) does with a bundle of
    them.

    `fmr` is the strictest rate of pairs that has a threshold. `people_for` says how many people the first threshold of an FPIR takes."""
    people_for = people_for or {}
    if not reach and fmr is None:
        least = f" (the first one takes {min(people_for.values())} people)" if people_for else ""
        return f"{persons(people, kind)}: no threshold can be had{least}; a gate with this bundle stays closed"
    said = [f"{_listed([percent(fpir) for fpir in fpirs])} for up to {counted(gallery, 'template')}" for gallery, fpirs in _grouped(reach)]
    searches = f"thresholds at FPIR {', '.join(said)}" if said else "no threshold for searches"
    pairs = f"for claims down to FMR {percent(fmr)}" if fmr is not None else "none for claims"
    return f"{persons(people, kind)}: {searches}; {pairs}{_closed(reach, fmr, people_for, *targets)}"


def percent(share: float) -> str:
    """A share in per cent: 0.003 is 0.3 %."""
    return f"{100 * share:.4g} %"


def _closed(reach: Reach, fmr: float | None, people_for: Mapping[float, int], target_fpir: float, target_fmr: float) -> str:
    """What a gate with these targets cannot do."""
    found = []
    if not any(fpir <= target_fpir for fpir in reach):
        need = f" (takes {people_for[target_fpir]} people)" if target_fpir in people_for else ""
        other = f" unless decision.target_fpir is {min(reach):g}" if reach else ""
        found.append(f"a gate that searches asks for FPIR {percent(target_fpir)}{need} and stays closed{other}")
    if fmr is None or fmr > target_fmr:
        found.append(f"claims ask for FMR {percent(target_fmr)}, so nobody is verified")
    return "".join(f"; {one}" for one in found)


def _grouped(reach: Reach) -> list[tuple[int, list[float]]]:
    """(gallery, rates), from the loosest rate to the strictest."""
    found: dict[int, list[float]] = {}
    for fpir in sorted(reach, reverse=True):
        found.setdefault(reach[fpir], []).append(fpir)
    return list(found.items())


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
