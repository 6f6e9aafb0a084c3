"""Runs of the stand-in for VASP, each in a folder of its own."""

from pathlib import Path

import pytest
from custodian.utils import tracked_lru_cache
from tests.stand_in_vasp import failures
from tests.unit.stand_in_vasp.runs import STATIC, crystal, run_here, write_inputs


@pytest.fixture(autouse=True)
def _no_failures(monkeypatch):
    for name in (failures.VARIABLE, "STAND_IN_VASP_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    yield
    tracked_lru_cache.tracked_cache_clear()


@pytest.fixture
def vasp(tmp_path, monkeypatch):
    """Write inputs, run, and give the folder."""

    def calculate(incar=STATIC, atoms=None, fail="", folder="run", code=0) -> Path:
        path = write_inputs(tmp_path / folder, atoms or crystal(), incar)
        monkeypatch.setenv(failures.VARIABLE, fail)
        assert run_here(path) == code
        return path

    return calculate
