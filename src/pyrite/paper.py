"""The settings of the method's paper, ``recipe: paper``.

Hessmann et al., npj Comput. Mater. 2025, arXiv:2408.04073. They assume thousands of epochs, on a
GPU. Anchors, the confirmation of a winner and all else that keeps a verdict waiting are ours, and
switched off.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

PAPER: Mapping[str, Mapping[str, Any]] = {
    "pool": {"size": 1000, "symmetric_share": 0.0},
    "surrogate": {
        "representation": "so3net",
        "members": 5,
        "features": 64,
        "interactions": 2,
        "lmax": 2,
        "radial_basis": 20,
        "cutoff": 7.0,
        "shared_interactions": True,
        "zbl": False,
    },
    "training": {
        "energy_weight": 1e-4,
        "force_weight": 0.9999,
        "stress_weight": 300.0,
        "batch_size": 10,
        "learning_rate": 5e-4,
        "weight_decay": 0.02,
        "updates": 40000,
        "schedule": "plateau",
        "validation_share": 0.2,
        "warm_start": False,
        "gradient_clip": 10.0,
        "max_force": 500.0,
        "outlier_sigma": 3.0,
    },
    "relaxation": {
        "max_relative_uncertainty": 0.5,
        "uncertainty_floor": 0.0,
        "look_ahead": False,
        "max_steps": 300,
        "start_from": "last",
        "anchors": 0,
    },
    "selection": {
        "first_labels": 100,
        "labels": 100,
        "growth": None,
        "force_weight": 0.5,
        "uncertain_share": 0.0,
        "low_energy_share": 0.0,
        "random_share": 0.0,
        "skip_known": False,
        "noise": 0.4,
        "noise_decay": 0.6,
    },
    "convergence": {
        "top_k": 10,
        "min_iterations": 1,
        "max_iterations": 15,
        "confirm": False,
        "settled": False,
        "max_uncertain_share": 1.0,
        "max_energy_spread": 1000.0,
    },
    "validation": {"top_k": 10},
}


def with_defaults_of_the_paper(search: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a search, with the paper's where they say nothing."""
    filled = dict(search)
    for section, settings in PAPER.items():
        filled[section] = {**settings, **_given(search.get(section))}
    target = _given(search.get("target"))
    if target.get("composition"):  # larger cells are treated like all others
        limit = filled["relaxation"]["max_relative_uncertainty"]
        filled["target"] = {"join": "first", "max_relative_uncertainty": limit, **target}
    return filled


def _given(section: Any) -> Mapping[str, Any]:
    """What a section says, which may be a model already, or a name."""
    if isinstance(section, BaseModel):
        return section.model_dump(exclude_unset=True)
    return section if isinstance(section, Mapping) else {}
