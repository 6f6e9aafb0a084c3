"""What one pool is drawn from: the search file's settings with all defaults filled in."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Role
from pyrite.errors import ConfigError, GenerationError
from pyrite.models.composition import cell_content, formula
from pyrite.models.distances import (
    Pair,
    closest_violation,
    minimum_distances,
    too_dense,
    volume_range,
)
from pyrite.pool_config import PoolConfig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """Content of the cell, and what its crystals must obey.

    ``volumes`` in Å³/atom, ``distances`` in Å; ``section`` is the pool's place
    in the search file.
    """

    content: Mapping[str, int]
    pool: PoolConfig
    volumes: tuple[float, float]
    distances: Mapping[Pair, float]
    section: str

    @property
    def symbols(self) -> list[str]:
        """Element of each atom."""
        return [element for element, amount in self.content.items() for _ in range(amount)]

    def pair(self, first: str, second: str) -> Pair:
        """The key of ``distances`` for two elements."""
        return (first, second) if (first, second) in self.distances else (second, first)

    def short_translation(self, cell: Array) -> Pair | None:
        """The pair of like atoms whose periodic images come too close in this lattice, if any."""
        widest = max(self.content, key=lambda element: self.distances[element, element])
        return closest_violation([widest], np.zeros((1, 3)), cell, self.distances)

    def crystal(self, positions: Array, cell: Array) -> Crystal:
        """Cartesian positions (N, 3) in the order of ``symbols`` and cell rows (3, 3), Å."""
        return Crystal(
            numbers=tuple(atomic_numbers[symbol] for symbol in self.symbols),
            positions=positions.tolist(),
            cell=cell.tolist(),
        )

    def cannot_keep(self, pair: Pair, where: str, *, symmetric: bool = False) -> GenerationError:
        """The error for a distance that no crystal kept."""
        kind, remedy = "cell", f"raise {self.section}.volume_per_atom or max_attempts"
        if symmetric:
            kind, remedy = f"symmetric {kind}", f"{remedy}, or set {self.section}.symmetric_share 0"
        return GenerationError(
            f"no {kind} of {formula(self.content)} at {span(self.volumes)} Å³/atom keeps "
            f"{'-'.join(pair)} above {self.distances[pair]:.2f} Å {where}: lower "
            f"{self.section}.minimum_distances (or minimum_distance_scale) or {remedy}"
        )


def recipes(config: SearchConfig) -> dict[Role, "Recipe"]:
    """Those of all pools that a search has; see :func:`recipe`."""
    roles = [Role.TRAIN] if config.larger is None else [Role.TRAIN, Role.TARGET]
    return {role: recipe(config, role) for role in roles}


def recipe(config: SearchConfig, role: Role = Role.TRAIN) -> Recipe:
    """Resolve the settings of one pool and refuse what no crystal can meet.

    Raises
    ------
    ConfigError
        Wrong composition or distances, or no target where one is asked for.
    GenerationError
        The atoms' minimum distances need more room than the largest volume.
    """
    if role is Role.TRAIN:
        content = cell_content(config.composition, config.formula_units)
        pool, section = config.pool, "pool"
    elif (larger := config.larger) is not None:
        content = cell_content(larger.composition)
        pool, section = larger.pool, "target.pool"
        if new := set(content) - set(cell_content(config.composition, config.formula_units)):
            raise ConfigError(
                f"target.composition {larger.composition} has {', '.join(sorted(new))}, "
                f"which composition {config.composition} has not: the networks would never learn it"
            )
    else:
        raise ConfigError("the search has no target: add target.composition, such as Si46")
    found = Recipe(
        content=content,
        pool=pool,
        volumes=pool.volume_per_atom or volume_range(content),
        distances=minimum_distances(content, pool, section),
        section=section,
    )
    largest = found.volumes[1] * sum(content.values())
    if (pair := too_dense(content, found.distances, largest)) is not None:
        raise found.cannot_keep(pair, "in any arrangement")
    return found


def span(bounds: tuple[float, float]) -> str:
    """A range as text; one number if it has no width."""
    low, high = (f"{bound:.4g}" for bound in bounds)
    return low if low == high else f"{low}-{high}"
