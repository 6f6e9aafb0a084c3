"""Which reference calculations may be learned from."""

import json
from collections.abc import Sequence

import numpy as np

from pyrite.documents import Label, LabelStatus, Validation
from pyrite.errors import MixedLabels
from pyrite.models.reference import StaticResult
from pyrite.reference_config import ReferenceConfig

MAX_ENERGY = 100.0  # eV/atom; cohesive energies lie below 10, random cells 30 above
_OF_RELAXATIONS = ("fmax", "max_steps", "relax_maker")


def absurdity(config: ReferenceConfig, result: StaticResult) -> str | None:
    """Why a result is out of bounds, or None."""
    bound = config.max_energy
    if bound is None:
        bound = np.inf if config.engine == "maker" else MAX_ENERGY
    found = (
        ("energy", result.energy / len(result.forces), "eV/atom", bound, "max_energy"),
        ("force", result.fmax, "eV/Å", config.max_force, "max_force"),
        ("stress", float(np.abs(result.stress).max()), "eV/Å³", config.max_stress, "max_stress"),
    )
    for name, value, unit, limit, field in found:
        if abs(value) > limit:
            return f"{name} of more than {limit:g} {unit} (reference.{field})"
    return None


def require_one_method(labels: Sequence[Label]) -> None:
    """Make sure that all successful labels were made in the same way.

    Raises
    ------
    MixedLabels
        Naming two labels, what differs, and the remedy.
    """
    ok = [one for one in labels if one.status is LabelStatus.OK]
    for one in ok[1:]:
        require_same_method(ok[0], one)


def require_same_method(first: Label, other: Label | Validation) -> None:
    """Make sure that a calculation can be compared with the search's first label.

    Raises
    ------
    MixedLabels
        As above.
    """
    if LabelStatus.FAILED in (first.status, other.status):
        return
    differences = []
    for name in ("engine", "engine_version", "settings"):
        ours, theirs = (getattr(one.provenance, name) for one in (first, other))
        if name != "settings":
            ours, theirs = {name: ours}, {name: theirs}
        differences += [
            f"{key} ({ours.get(key)} and {theirs.get(key)})"
            for key in sorted((ours.keys() | theirs.keys()) - set(_OF_RELAXATIONS))
            if _canonical(ours.get(key)) != _canonical(theirs.get(key))
        ]
    if differences:
        raise MixedLabels(
            f"the calculations of {first.candidate_id} (iteration {first.iteration}) and "
            f"{other.candidate_id} (iteration {other.iteration}) differ: {', '.join(differences)}; "
            "go on where and with what the first was made, or start a search of another name"
        )


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
