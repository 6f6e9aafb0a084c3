"""Which crystals a search begins with, and what it looks for, as parts of its config."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import Field, model_validator

from pyrite.frozen import Frozen


class StartFrom(StrEnum):
    """Where a relaxation begins in iterations after the first."""

    FIRST = "first"
    LAST = "last"


class PoolConfig(Frozen):
    """The candidates that a search begins with."""

    size: int = Field(200, ge=2, description="number of candidates")
    symmetric_share: float = Field(
        0.5, ge=0, le=1, description="share drawn from PyXtal space groups; the rest are P1 cells"
    )
    max_orbits: int | None = Field(
        None, ge=1, description="most symmetry-inequivalent atoms of a symmetric start"
    )
    rattle: float = Field(
        0.1, ge=0, le=1, description="standard deviation of the initial displacement, Å"
    )
    volume_per_atom: tuple[float, float] | None = Field(
        None, description="range of the initial volume, Å³/atom; default from atomic radii"
    )
    length_ratio: tuple[float, float] = Field(
        (0.7, 1.4), description="range of P1 lattice lengths before scaling to the volume"
    )
    angles: tuple[float, float] = Field((60.0, 120.0), description="range of P1 angles, degrees")
    minimum_distances: dict[str, float] = Field(
        default_factory=dict,
        description='closest approach of element pairs over periodic images, Å, as "Na-Cl": 2.2',
    )
    minimum_distance_scale: float = Field(
        0.9, gt=0, le=1.5, description="default closest approach in sums of radii"
    )
    files: tuple[Path, ...] = Field(
        (), description="start structures (CIF, POSCAR, extxyz), added to the random ones"
    )
    max_attempts: int = Field(5000, ge=1, description="attempts per candidate before an error")

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for name in ("volume_per_atom", "length_ratio", "angles"):
            low_high = getattr(self, name)
            if low_high is not None and not 0 < low_high[0] <= low_high[1]:
                raise ValueError(f"{name} must be two positive numbers, the smaller first")
        if self.angles[1] >= 180:
            raise ValueError("angles must lie below 180 degrees")
        for pair, distance in self.minimum_distances.items():
            if distance < 0:
                raise ValueError(f"minimum_distances: {pair} must not be negative")
        return self


class Join(StrEnum):
    """When larger cells are first relaxed."""

    FIRST = "first"
    CONVERGED = "converged"


class TargetConfig(Frozen):
    """What is looked for: a known structure whose discovery the ledger notes, a larger cell whose
    candidates are relaxed and ranked but never labelled (learn small, find large), or both."""

    structure: str | None = Field(
        None,
        description="of the known ones, such as si-diamond; `target: NAME` for short",
    )
    composition: str | None = Field(None, description="content of the larger cell, such as Si46")
    pool: PoolConfig = Field(
        default_factory=PoolConfig, description="its candidates, with a composition"
    )
    join: Join = Field(
        Join.CONVERGED,
        description="larger cells are relaxed from the first iteration, or once the minima of the "
        "small cell have converged and the reference has confirmed them (convergence.confirm)",
    )
    max_relative_uncertainty: float | None = Field(
        None,
        gt=0,
        description="stop larger cells as uncertain above, like "
        "relaxation.max_relative_uncertainty; default: never, since no label would be made there",
    )
    start_from: StartFrom | None = Field(
        None,
        description="where relaxations of larger cells begin, like relaxation.start_from; default: "
        "last with join: converged, as relaxation.start_from with join: first",
    )

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if self.structure is None and self.composition is None:
            raise ValueError("target needs a structure, a composition, or both")
        if self.composition is None:
            larger = sorted(self.model_fields_set - {"structure", "composition"})
            if changed := [name for name in larger if self._differs(name)]:
                raise ValueError(f"target.{changed[0]} needs target.composition")
        return self

    def _differs(self, name: str) -> bool:
        default = type(self).model_fields[name].get_default(call_default_factory=True)
        return bool(getattr(self, name) != default)


class LargerCell(NamedTuple):
    """A target's pool."""

    composition: str
    pool: PoolConfig
