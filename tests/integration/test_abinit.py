"""Real ABINIT through atomate2's own Makers: one dictionary of settings for both."""

import importlib.util
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from atomate2 import SETTINGS
from tests.unit.builders import TWO_CELL, TWO_PLACES, moving_only, two_atoms

from benchmarks.phases import reference
from pyrite.documents import Crystal
from pyrite.errors import EngineError, LabelError
from pyrite.machine import Keep, Machine
from pyrite.models.engines import check_engine, make_engine
from pyrite.models.reference import ReferenceEngine
from pyrite.reference_config import ReferenceConfig

DATA = Path("/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8")
MAKERS = "atomate2.abinit.jobs.core"

pytestmark = pytest.mark.skipif(
    shutil.which("abinit") is None or not DATA.is_dir(),
    reason="ABINIT is not installed (Debian, Ubuntu: apt-get install abinit abinit-data)",
)


@pytest.fixture(autouse=True)
def one_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "ABINIT_MAX_RESTARTS", 1)


def config(**abinit: Any) -> ReferenceConfig:
    """docs/makers.md's, coarse: what is compared is the same calculation with itself."""
    inputs = {
        "pseudos": [str(DATA / f"{element}.psp8") for element in ("Al", "Si")],
        "factory_kwargs": {
            "ecut": 8,
            "kppa": 16,
            "shift_mode": "Gamma",
            "spin_mode": "unpolarized",
            "smearing": "fermi_dirac:0.5 eV",  # so wide that the wrong energy would show
        },
        "user_abinit_settings": {
            "tolvrs": 1e-9,
            "nshiftk": 1,
            "shiftk": [0, 0, 0],
            "chksymtnons": 0,
            "paral_kgb": 0,
            "ecutsm": 0.5,
            "dilatmx": 1.1,
            "prtwf": 0,
            **abinit,
        },
    }
    return ReferenceConfig(
        engine="maker",
        static_maker=f"{MAKERS}.StaticMaker",
        relax_maker=f"{MAKERS}.RelaxMaker",
        settings={"input_set_generator": inputs},
    )


def engine(folder: Path, keep: Keep = Keep.FAILED, **abinit: Any) -> ReferenceEngine:
    return make_engine(config(**abinit), folder, Machine(keep=keep))


def test_forces_and_stress_are_derivatives_of_the_energy(tmp_path: Path) -> None:
    """Central differences of a metal, atoms not in the order of their numbers."""
    calculate = engine(tmp_path).static
    found = calculate(two_atoms())
    assert found.engine_version.startswith("ABINIT 9")
    assert found.calls == 1
    assert found.scf_cycles is not None
    assert 3 < found.scf_cycles < 40

    step = np.zeros((2, 3))
    step[0, 1] = 0.01
    up, down = (calculate(two_atoms(TWO_PLACES + sign * step)).energy for sign in (1, -1))
    assert abs(found.forces[0, 1]) > 0.1
    assert (down - up) / 0.02 == pytest.approx(found.forces[0, 1], abs=3e-3)

    for i, j in ((0, 0), (0, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * 0.002
            strain[j, i] += sign * 0.002 * (i != j)
            energies.append(calculate(two_atoms(TWO_PLACES @ strain, TWO_CELL @ strain)).energy)
        width = 0.004 * (2 if i != j else 1)
        quotient = (energies[0] - energies[1]) / width / abs(np.linalg.det(TWO_CELL))
        assert abs(found.stress[i, j]) > 0.01
        assert quotient == pytest.approx(found.stress[i, j], abs=3e-4)

    assert list(tmp_path.iterdir()) == [], "what succeeded leaves nothing"
    loggers = map(logging.getLogger, ("abipy", "atomate2", "pymatgen.io.abinit"))
    handlers = [handler for logger in loggers for handler in logger.handlers]
    assert not [one for one in handlers if isinstance(one, logging.FileHandler)]


@pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed")
def test_gpaw_sees_the_same_physics(tmp_path: Path) -> None:
    """Energies above diamond's: sheared and displaced, another phase (10 meV/atom), compressed.

    Shorter by a share ε, diamond rises by 9BVε²/2 per atom from its own minimum. Lattice constants
    of two programs that differ by a share δ make 9BVεδ of it, 18 meV/atom for ε = 0.058, δ = 0.003,
    B = 0.55 eV/Å³ and V = 20.4 Å³: pseudopotentials of one functional agree at least so well.
    """
    diamond = bulk("Si", "diamond", a=5.47)
    distorted = diamond.copy()
    shear = np.array([[1, 0.08, 0], [0, 1, 0.04], [0, 0, 1]])  # transposed, another cell
    distorted.set_cell(distorted.cell @ shear, scale_atoms=True)
    distorted.positions[1] += (0.25, 0.1, 0.0)
    others = (distorted, bulk("Si", "sc", a=2.53), bulk("Si", "diamond", a=5.15))
    above = {}
    for program in ("abinit", "gpaw"):
        energies = []
        for atoms in (diamond, *others):
            calculate = make_engine(reference(program, atoms, 0.7), tmp_path / program).static
            energies.append(calculate(Crystal.from_atoms(atoms)).energy / len(atoms))
        above[program] = np.array(energies[1:]) - energies[0]
    assert (above["gpaw"] > 0.05).all()
    difference = np.abs(above["abinit"] - above["gpaw"])
    assert (difference < [0.010, 0.010, 0.018]).all(), difference


def test_a_relaxation_takes_its_limits_from_the_search(tmp_path: Path) -> None:
    """What its own document says of the last geometry is what a single point says there."""
    calculate = engine(tmp_path)
    found = moving_only(calculate).relax(two_atoms(), fmax=0.05, max_steps=4)
    assert not found.converged
    assert found.calls == 4, "with atomate2's restart"
    again = calculate.static(found.crystal)
    assert found.fmax < calculate.static(two_atoms()).fmax
    assert again.energy == pytest.approx(found.energy, abs=1e-5)
    assert np.allclose(again.forces, found.forces, atol=1e-4)
    assert np.allclose(again.stress, found.stress, atol=1e-5)
    assert found.fmax > 0.1
    assert np.abs(found.stress).max() > 0.01

    near = calculate.relax(found.crystal, fmax=2.0, max_steps=8)
    assert near.converged
    assert 3 <= near.calls < 9, "with the last single point"
    assert near.fmax > 0.05


def test_electrons_that_do_not_converge_fail_the_label(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="ABINIT's electrons did not converge") as failure:
        engine(tmp_path, nstep=2).static(two_atoms())
    assert failure.value.calls == 2, "atomate2's restart counts"


def test_a_relaxation_without_converged_electrons_is_none(tmp_path: Path) -> None:
    """Even where its forces are small enough."""
    with pytest.raises(LabelError, match="ABINIT's electrons did not converge") as failure:
        engine(tmp_path, nstep=2).relax(two_atoms(), fmax=50.0, max_steps=4)
    assert failure.value.calls >= 1
    assert failure.value.details["scf_cycles"] >= 2


def test_what_abinit_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"ABINIT: .*nspinor"):
        engine(tmp_path, nspinor=7).static(two_atoms())
    assert list(tmp_path.glob("job_*")), "what failed can be looked at"
    with pytest.raises(LabelError) as other:
        engine(tmp_path, nband=1).static(two_atoms())
    assert "nspinor" not in str(other.value), "each label has its own reason"


def test_missing_pseudopotentials_are_said_before_any_label() -> None:
    wrong = config().model_dump()
    wrong["settings"]["input_set_generator"]["pseudos"] = ["/nowhere/Si.psp8"]
    with pytest.raises(EngineError, match=r"pseudos: there is no file /nowhere/Si\.psp8"):
        check_engine(ReferenceConfig(**wrong))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_set_generator": 3}, r"input_set_generator .*must be a mapping, and is 3"),
        ({"run_abinit_kwargs": [1]}, r"run_abinit_kwargs .*must be a mapping, and is \[1\]"),
        ({"run_abinit_kwargs": {"abinit_cmd": 4}}, r"settings: .*abinit_cmd: 4 is no program"),
        (
            {"run_abinit_kwargs": {"mpirun_cmd": "mpirun -n 2"}},
            r"there is no program 'mpirun -n 2' here.*a program without arguments",
        ),
        ({"input_set_generator": {"pseudos": [3]}}, r"reference\.settings: .* refuses them"),
    ],
)
def test_what_the_user_has_to_mend_is_said_before_any_label(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        check_engine(ReferenceConfig(**{**config().model_dump(), "settings": settings}))


def test_two_programs_are_no_engine() -> None:
    other = {"relax_maker": "pyrite.models.engines.cp2k.RelaxMaker", "settings": {}}
    with pytest.raises(EngineError, match=r"reference\.relax_maker: .*other than"):
        check_engine(ReferenceConfig(**{**config().model_dump(), **other}))


def test_settings_of_the_input_set_are_checked_by_name() -> None:
    wrong = config().model_dump()
    wrong["settings"]["input_set_generator"]["pseudo"] = "Si.psp8"
    with pytest.raises(EngineError, match=r"'pseudo' .*input_set_generator.*mean pseudos\?"):
        check_engine(ReferenceConfig(**wrong))
