"""atomate2's own VASP Makers by `engine: maker`, under its handlers, by the stand-in for VASP."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pymatgen.core
import pytest
from tests.stand_in_vasp import failures, potcars, vasp_std
from tests.unit.test_vasp import crystal, emt

from pyrite.errors import EngineError, LabelError
from pyrite.machine import Keep, Machine
from pyrite.models.engines import check_engine, make_engine
from pyrite.models.reference import ReferenceEngine
from pyrite.reference_config import ReferenceConfig

POLLING = {"polling_time_step": 0.1, "monitor_freq": 5}


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    potcars.write_potcars(tmp_path / "potcars", ["Cu", "Au"])
    monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "potcars"))
    monkeypatch.delenv(failures.VARIABLE, raising=False)


def config(command: str = f"{sys.executable} {vasp_std.__file__}", **incar: Any) -> ReferenceConfig:
    return ReferenceConfig(
        engine="maker",
        static_maker="atomate2.vasp.jobs.core.StaticMaker",
        relax_maker="atomate2.vasp.jobs.core.RelaxMaker",
        settings={
            "input_set_generator": {"user_incar_settings": {"KSPACING": 0.22, **incar}},
            "run_vasp_kwargs": {"vasp_cmd": command, "custodian_kwargs": POLLING},
        },
    )


def engine(folder: Path, **incar: Any) -> ReferenceEngine:
    return make_engine(config(**incar), folder, Machine(keep=Keep.NONE))


def test_labels_are_those_of_the_potential_and_say_what_made_them(tmp_path: Path) -> None:
    found = engine(tmp_path / "labels").static(crystal())
    forces, stress = emt(crystal())
    np.testing.assert_allclose(found.forces, forces, atol=1e-6)
    np.testing.assert_allclose(found.stress, stress, atol=1e-8)
    assert "VASP 6" in found.engine_version
    assert "PAW_PBE Au" in found.engine_version
    assert "PAW_PBE Cu" in found.engine_version
    assert list((tmp_path / "labels").iterdir()) == []


def test_relaxations_take_their_limits_from_the_search(tmp_path: Path) -> None:
    relax = engine(tmp_path).relax
    loose, tight = (relax(crystal(), fmax=fmax, max_steps=60) for fmax in (0.5, 0.02))
    assert loose.converged
    assert tight.converged
    assert tight.fmax < 0.02 * 1.1 < loose.fmax
    assert tight.calls > loose.calls


def test_a_repair_that_changes_what_is_measured_fails_the_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """custodian's default handlers answer a large entropy with less smearing."""
    monkeypatch.setenv(failures.VARIABLE, "entropy")
    with pytest.raises(LabelError, match=r"a repair changed what is measured: SIGMA \(0\.2 -> "):
        engine(tmp_path, SIGMA=0.2, ISMEAR=0).static(crystal())


def test_a_failure_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failures.VARIABLE, "scf")
    with pytest.raises(LabelError, match=r"VASP failed \(custodian tried ") as failed:
        engine(tmp_path).static(crystal())
    assert failed.value.calls > 1
    assert failed.value.details["scf_cycles"] > failed.value.calls


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(EngineError, match=r"static_maker: there is no program 'vasp_of_nobody'"):
        check_engine(config(command="vasp_of_nobody"))
