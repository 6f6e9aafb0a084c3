"""Crystals that many unit tests build on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from numpy.typing import ArrayLike

from pyrite.documents import Crystal
from pyrite.models.dataset import Inputs, crystal_inputs
from pyrite.models.engines.makers import MakerEngine
from pyrite.models.reference import ReferenceEngine
from pyrite.reference_config import ReferenceConfig

# Two atoms in a cell without symmetry.
TWO_CELL = np.array([[0.0, 2.7, 2.75], [2.7, 0.0, 2.7], [2.6, 2.7, 0.1]])
TWO_PLACES = np.array([[0.02, 0.0, 0.0], [0.25, 0.28, 0.23]]) @ TWO_CELL


def crystal(numbers: tuple[int, ...], positions: ArrayLike, cell: ArrayLike) -> Crystal:
    """From any arrays: Cartesian positions and cell rows, Å."""
    return Crystal(
        numbers=numbers,
        positions=tuple(map(tuple, np.asarray(positions).tolist())),
        cell=tuple(map(tuple, np.asarray(cell).tolist())),
    )


def two_atoms(
    positions: ArrayLike = TWO_PLACES,
    cell: ArrayLike = TWO_CELL,
    numbers: tuple[int, ...] = (14, 13),
) -> Crystal:
    """Silicon and aluminium, not in the order of their numbers."""
    return crystal(numbers, positions, cell)


def moving_only(engine: ReferenceEngine) -> MakerEngine:
    """The same engine, whose relaxations give the moving Maker's own numbers."""
    assert isinstance(engine, MakerEngine)
    return replace(engine, makers=replace(engine.makers, single_point=False))


def rocksalt(a: float = 5.7) -> Crystal:
    """Two-atom rocksalt NaCl."""
    return Crystal.from_atoms(bulk("NaCl", "rocksalt", a=a))


def caesium_chloride(a: float = 3.5) -> Crystal:
    """Two-atom CsCl-type NaCl."""
    return Crystal.from_atoms(bulk("NaCl", "cesiumchloride", a=a))


def zincblende(a: float = 6.2) -> Crystal:
    """Two-atom zincblende NaCl."""
    return Crystal.from_atoms(bulk("NaCl", "zincblende", a=a))


def random_crystal(seed: int, numbers: tuple[int, ...] = (11, 11, 17, 17)) -> Crystal:
    """A skewed cell with atoms on a jittered grid."""
    rng = np.random.default_rng(seed)
    cell = np.eye(3) * (22.0 * len(numbers)) ** (1 / 3) + rng.uniform(-0.8, 0.8, (3, 3))
    corners = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])[: len(numbers)]
    scaled = corners + rng.uniform(-0.06, 0.06, corners.shape)
    return Crystal(numbers=numbers, positions=(scaled @ cell).tolist(), cell=cell.tolist())


def double_inputs(crystals: Sequence[Crystal], cutoff: float) -> Inputs:
    """Inputs in double precision: float32 rounding would drown fine comparisons."""
    return crystal_inputs(crystals, cutoff, torch.float64)


def rocksalt_atoms(strain: float = 0.0, rattle: float = 0.0, shear: float = 0.0) -> Atoms:
    """Conventional cell of eight atoms, strained (linear), sheared, displaced (σ in Å)."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    deform = np.eye(3) * (1 + strain)
    deform[0, 1] = shear
    atoms.set_cell(atoms.cell.array @ deform, scale_atoms=True)
    if rattle:
        atoms.rattle(rattle, seed=3)
    return atoms


LENNARD_JONES = ReferenceConfig(
    engine="maker",
    static_maker="atomate2.ase.jobs.LennardJonesStaticMaker",
    relax_maker="atomate2.ase.jobs.LennardJonesRelaxMaker",
    settings={"calculator_kwargs": {"sigma": 3.4, "epsilon": 0.0104, "rc": 8.0}},
)


def force_field(name: str, **arguments: object) -> ReferenceConfig:
    """atomate2's own force-field Makers."""
    return ReferenceConfig(
        engine="maker",
        static_maker="atomate2.forcefields.jobs.ForceFieldStaticMaker",
        relax_maker="atomate2.forcefields.jobs.ForceFieldRelaxMaker",
        settings={"force_field_name": name, "calculator_kwargs": arguments},
    )
