"""Force-field Makers of atomate2 over one shared calculator per model and process.

Loading a model costs seconds and a label milliseconds. This module imports atomate2 and
with it pymatgen, which takes seconds too: import it only where an engine is about to run.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

from atomate2.forcefields.jobs import ForceFieldRelaxMaker, ForceFieldStaticMaker
from atomate2.forcefields.utils import ase_calculator

from pyrite.models.watched import WatchedCalculator


@lru_cache(maxsize=4)
def _load(force_field: str, arguments: str) -> WatchedCalculator:
    calculator = ase_calculator(force_field, **json.loads(arguments))
    assert calculator is not None  # atomate2 raises where there is none
    return WatchedCalculator(calculator)


def shared_calculator(maker: ForceFieldRelaxMaker) -> WatchedCalculator:
    """The process's one calculator of the model and arguments that ``maker`` names."""
    return _load(str(maker.force_field_name), json.dumps(maker.calculator_kwargs, sort_keys=True))


@dataclass
class StaticMaker(ForceFieldStaticMaker):
    """atomate2's force-field single point with a shared calculator."""

    name: str = "pyrite static"

    def _get_calculator(self) -> WatchedCalculator:
        return shared_calculator(self)


@dataclass
class RelaxMaker(ForceFieldRelaxMaker):
    """atomate2's force-field relaxation with a shared calculator."""

    name: str = "pyrite relax"

    def _get_calculator(self) -> WatchedCalculator:
        return shared_calculator(self)
