"""Which relaxed crystals are the same minimum, by the criterion of a search's ranking."""

import json
from collections.abc import Sequence
from typing import Any

from pyrite.documents import Crystal
from pyrite.models.matching import find_same
from pyrite.models.ranking import SAME_ENERGY

MINIMA = 0.3  # eV/atom above the ground state
HOLE = -0.1  # eV/atom: what lies lower is no crystal but a hole of the force field
DIGITS = 4  # of Å


def packed(crystal: Crystal) -> str:
    """A crystal in one line of JSON, rounded; `unpacked` reads it."""
    document = crystal.model_dump(mode="json")
    for name in ("positions", "cell"):
        document[name] = [[round(x, DIGITS) for x in row] for row in document[name]]
    return json.dumps(document, separators=(",", ":"))


def unpacked(text: str) -> Crystal:
    """The crystal of `packed`."""
    return Crystal.model_validate_json(text)


def is_minimum(row: dict[str, Any]) -> bool:
    """Whether a relaxation ended, and in a minimum that counts."""
    above = row.get("energy_above_ground_ev_per_atom")
    return bool(row.get("converged")) and above is not None and HOLE <= above <= MINIMA


def numbered(rows: Sequence[dict[str, Any]]) -> list[int | None] | None:
    """Which minimum each relaxation found, numbered as they were found.

    Parameters
    ----------
    rows : in order, as `benchmarks.random_search.relaxed` makes them

    Returns
    -------
    list or None
        A number for each row, None for those that are no minimum within `MINIMA`;
        None instead of the list if the crystal of one of them was not kept.
    """
    found: list[tuple[float, Crystal]] = []
    numbers: list[int | None] = []
    for row in rows:
        if not is_minimum(row):
            numbers.append(None)
            continue
        if "crystal" not in row:
            return None
        energy, crystal = row["energy_above_ground_ev_per_atom"], unpacked(row["crystal"])
        near = [k for k, (other, _) in enumerate(found) if abs(energy - other) <= SAME_ENERGY]
        same = find_same(crystal, [found[k][1] for k in near])
        if same is None:
            found.append((energy, crystal))
        numbers.append(len(found) - 1 if same is None else near[same])
    return numbers


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any] | None]:
    """Relaxations in order, as a row of results keeps them."""
    names = ("calls", "success", "energy_above_ground_ev_per_atom")
    return {name: [row.get(name) for row in rows] for name in names} | {"minimum": numbered(rows)}
