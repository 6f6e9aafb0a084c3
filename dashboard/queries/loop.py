"""How the lowest energies and the verdict changed from iteration to iteration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyrite.documents import LabelStatus
from pyrite.views import Views


@dataclass(frozen=True)
class Cycle:
    """What one iteration came to.

    Attributes
    ----------
    number
        counted from 0
    top
        ensemble means of the top clusters' best members, ascending, eV/atom
    settled
        for each of them, whether its relaxation came to rest
    reference
        lowest reference energy among this iteration's labels, eV/atom
    agreeing, compared
        top clusters found unchanged, of how many; None before the verdict
    reason
        the verdict in words
    picks
        labels that it asked for
    groups
        distinct groups of the pool: clusters and candidates in none
    larger_cells
        whether larger cells were relaxed, if there are any
    """

    number: int
    top: tuple[float, ...]
    settled: tuple[bool, ...]
    reference: float | None
    agreeing: int | None
    compared: int | None
    converged: bool
    reason: str
    picks: int
    groups: int | None
    larger_cells: bool = True


@dataclass(frozen=True)
class Loop:
    """All iterations of a search; ``validated`` are energies of reference relaxations, eV/atom."""

    cycles: tuple[Cycle, ...]
    validated: tuple[tuple[int, float], ...]
    ended_by: str | None
    compared: int


def loop(views: Views, search_id: str) -> Loop:
    """Read the loop of a search."""
    lowest = lowest_labels(views.labels(search_id))
    iterations = views.iterations(search_id)
    validated = tuple(
        (int(one["iteration"]), float(one["energy"]))
        for one in views.validations(search_id)
        if one["status"] == LabelStatus.OK and one["energy"] is not None
    )
    last = iterations[-1] if iterations else {}
    waiting = not last.get("larger_cells", True)  # larger cells: the loop goes on in any case
    config = views.store.get_search(search_id).config
    return Loop(
        tuple(_cycle(one, lowest) for one in iterations),
        validated,
        None if waiting else last.get("ended_by"),
        config.convergence.top_k,
    )


def lowest_labels(labels: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Lowest reference energy of each iteration's labels, eV/atom."""
    lowest: dict[int, float] = {}
    for one in labels:
        if one["status"] == LabelStatus.OK and one["energy"] is not None:
            energy = float(one["energy"]) / len(one["crystal"]["numbers"])
            k = int(one["iteration"])
            lowest[k] = min(energy, lowest.get(k, energy))
    return lowest


def _cycle(document: dict[str, Any], lowest: dict[int, float]) -> Cycle:
    verdict = document.get("convergence") or {}
    top = document.get("top") or []
    clusters = document.get("clusters")
    return Cycle(
        number=int(document["iteration"]),
        top=tuple(float(one["energy"]) for one in top),
        settled=tuple(bool(one.get("settled", True)) for one in top),
        reference=lowest.get(int(document["iteration"])),
        agreeing=verdict.get("agreeing"),
        compared=verdict.get("compared"),
        converged=bool(verdict.get("converged")),
        reason=str(verdict.get("reason", "")),
        picks=len(document.get("picks") or []),
        groups=None if clusters is None else int(clusters) + int(document.get("noise") or 0),
        larger_cells=bool(document.get("larger_cells", True)),
    )
