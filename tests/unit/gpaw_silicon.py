"""Silicon for GPAW, in the smallest cell and coarse, and what its tests need."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.builders import crystal

from pyrite.documents import Crystal
from pyrite.machine import Machine
from pyrite.models.engines import make_engine
from pyrite.models.engines.gpaw import GpawEngine
from pyrite.reference_config import GpawConfig, ReferenceConfig

needs_gpaw = pytest.mark.skipif(
    importlib.util.find_spec("gpaw") is None,
    reason="GPAW is not installed: it needs libxc-dev and libopenblas-dev",
)
needs_mpirun = pytest.mark.skipif(shutil.which("mpirun") is None, reason="there is no mpirun")

COARSE: dict[str, Any] = {"kspacing": 1.5, "cutoff": 300}


def silicon(a: float = 5.3) -> Crystal:
    """Two atoms of diamond, compressed, sheared and shifted."""
    cell = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.52, 0.03]]) * a
    positions = np.array([[0.1, 0.05, 0.0], [0.26 * a, 0.25 * a, 0.25 * a]])
    return crystal((14, 14), positions, cell)


def engine(folder: Path, machine: Machine | None = None, **settings: Any) -> GpawEngine:
    config = ReferenceConfig(engine="gpaw", gpaw=GpawConfig(**{**COARSE, **settings}))
    found = make_engine(config, folder, machine)
    assert isinstance(found, GpawEngine)
    return found
