"""Which reference calculations may be learned from."""

import json
from collections.abc import Sequence

import numpy as np

from pyrite.config import ReferenceConfig
from pyrite.documents import Label, LabelStatus
from pyrite.errors import MixedLabels
from pyrite.models.reference import StaticResult

_MAX_ENERGY = 100.0  # eV/atom; cohesive energies lie below 10, random cells 30 above


def absurdity(config: ReferenceConfig, result: StaticResult) -> str | None:
    """Why a result is out of bounds, or None."""
    bound = config.max_energy
    if bound is None:
        bound = np.inf if config.engine == "maker" else _MAX_ENERGY
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
        ours, first = one.provenance, ok[0].provenance
        for name in ("engine", "engine_version", "settings"):
            mine, others = (_canonical(getattr(each, name)) for each in (ours, first))
            if mine != others:
                raise MixedLabels(
                    f"the labels of {ok[0].candidate_id} (iteration {ok[0].iteration}) and of "
                    f"{one.candidate_id} (iteration {one.iteration}) differ in their {name}: "
                    f"{others} and {mine}; go on where the first was made, or start a search of "
                    "another name"
                )


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
