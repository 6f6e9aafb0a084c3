"""Crystals that many unit tests build on."""

from collections.abc import Sequence

import numpy as np
import torch
from ase.build import bulk

from pyrite.documents import Crystal
from pyrite.models.dataset import Inputs, crystal_inputs


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
