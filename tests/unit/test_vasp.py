"""VASP under custodian, by a stand-in for its program: what is asked, what is said, what fails."""

import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pymatgen.core
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from custodian.vasp.handlers import WalltimeHandler
from tests.stand_in_vasp import failures, potcars, vasp_std

from pyrite.documents import Crystal
from pyrite.errors import EngineError, LabelError
from pyrite.machine import Keep, Machine
from pyrite.models.engines import check_engine, handlers, make_engine, vasp, vasp_inputs
from pyrite.models.labels import absurdity
from pyrite.models.reference import StaticResult
from pyrite.reference_config import ReferenceConfig

COMMAND = f"{sys.executable} {vasp_std.__file__}"
CONFIG = ReferenceConfig(engine="vasp", vasp={"kspacing": 0.5, "nelm": 30})


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A POTCAR directory."""
    folder = tmp_path_factory.mktemp("potcars")
    potcars.write_potcars(folder, ["Cu", "Au"])
    return folder


@pytest.fixture(autouse=True)
def _environment(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", str(library))
    monkeypatch.setattr(vasp, "_POLLING", {"polling_time_step": 0.1, "monitor_freq": 5})
    monkeypatch.delenv(failures.VARIABLE, raising=False)


def crystal() -> Crystal:
    """Cu2Au2, distorted, elements not in a row."""
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
    atoms.symbols = ["Au", "Cu", "Au", "Cu"]
    atoms.set_cell(atoms.cell.array @ [[1, 0.05, 0], [0, 1.04, 0.02], [0, 0, 0.98]], True)
    atoms.rattle(0.1, seed=2)
    return Crystal.from_atoms(atoms)


def engine(folder: Path, config: ReferenceConfig = CONFIG, **machine: object) -> vasp.VaspEngine:
    found = make_engine(config, folder, Machine(vasp_command=COMMAND, **machine))
    assert isinstance(found, vasp.VaspEngine)
    return found


def emt(one: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Forces (eV/Å) and stress (eV/Å³) of the stand-in's potential."""
    atoms = one.to_atoms()
    atoms.calc = EMT()
    return atoms.get_forces(), atoms.get_stress(voigt=False)


# -- answers ---------------------------------------------------------------------------


def test_forces_and_stress_are_those_of_the_potential(tmp_path: Path) -> None:
    """In eV and Å, tension positive, in the order that was asked, though VASP sorts."""
    found = engine(tmp_path).static(crystal())
    forces, stress = emt(crystal())
    np.testing.assert_allclose(found.forces, forces, atol=1e-6)
    np.testing.assert_allclose(found.stress, stress, atol=1e-8)
    assert np.abs(stress).max() > 0.01
    assert list(tmp_path.iterdir()) == [], "the files of a success are not kept"


def test_the_energy_is_the_one_that_forces_are_the_slope_of(tmp_path: Path) -> None:
    one = engine(tmp_path)
    h = 0.01
    energies = []
    for step in (h, -h):
        positions = np.array(crystal().positions)
        positions[1, 2] += step
        energies.append(one.static(crystal().model_copy(update={"positions": positions})).energy)
    slope = (energies[0] - energies[1]) / (2 * h)
    assert -slope == pytest.approx(emt(crystal())[0][1, 2], abs=2e-3)


def test_a_label_says_how_it_was_made(tmp_path: Path) -> None:
    found = engine(tmp_path).static(crystal())
    assert (found.engine, found.engine_version) == ("vasp", "6.4.3")
    assert found.settings["potcars"] == ["PAW_PBE Cu_pv 01Jan2000", "PAW_PBE Au 01Jan2000"]
    measured = found.settings["incar"]
    assert (measured["KSPACING"], measured["ENCUT"], measured["ISPIN"]) == (0.5, 680, 1)
    assert "ALGO" not in measured
    assert found.details["incar"]["ALGO"] == "Normal"
    assert found.details["kpoints"] == [4, 4, 4]
    assert found.details["corrections"] == []
    assert (found.calls, found.scf_cycles) == (1, 8)


def test_incar_tags_of_the_search_file_win(tmp_path: Path) -> None:
    config = ReferenceConfig(
        engine="vasp",
        vasp={"kspacing": 0.5, "incar": {"ENCUT": 300, "LASPH": False}, "potcars": {"Cu": "Cu"}},
    )
    found = engine(tmp_path, config).static(crystal())
    assert found.settings["incar"]["ENCUT"] == 300
    assert found.settings["incar"]["LASPH"] is False
    assert found.settings["potcars"][0] == "PAW_PBE Cu 01Jan2000"


def test_a_relaxation_ends_with_a_single_point(tmp_path: Path) -> None:
    found = engine(tmp_path).relax(crystal(), fmax=0.05, max_steps=60)
    assert found.converged
    assert not found.interrupted
    forces, stress = emt(found.crystal)
    np.testing.assert_allclose(found.forces, forces, atol=1e-4)
    np.testing.assert_allclose(found.stress, stress, atol=1e-5)
    assert found.crystal.numbers == crystal().numbers
    assert found.calls > 5
    assert "NSW" not in found.details["incar"] or found.details["incar"]["NSW"] == 0


def test_atoms_that_still_move_are_an_answer(tmp_path: Path) -> None:
    found = engine(tmp_path).relax(crystal(), fmax=0.001, max_steps=3)
    assert (found.converged, found.interrupted, found.calls) == (False, False, 4)
    assert found.details["corrections"] == []


# -- failures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "correction"),
    [
        ("scf_fast", "ALGO = All, ISEARCH = 1"),
        ("edddav", "ALGO = All, ISEARCH = 1"),
        ("sloshing", "safer settings"),
    ],
)
def test_what_is_repaired_measures_the_same(
    mode: str, correction: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = engine(tmp_path).static(crystal())
    monkeypatch.setenv(failures.VARIABLE, mode)
    record = tmp_path / "runs"
    script = tmp_path / "vasp.sh"
    script.write_text(f"#!/bin/sh\necho run >> {record}\nexec {COMMAND}\n")
    script.chmod(0o700)
    found = make_engine(CONFIG, tmp_path, Machine(vasp_command=str(script))).static(crystal())
    runs = record.read_text().split()
    assert found.energy == pytest.approx(sound.energy, abs=1e-6)
    assert found.settings == sound.settings
    assert found.calls == len(runs) > 1, "every run costs"
    assert found.scf_cycles > sound.scf_cycles
    assert found.seconds > sound.seconds
    assert any(correction in one for one in found.details["corrections"])


def test_a_broken_line_search_goes_on_from_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(failures.VARIABLE, "zbrent")
    found = engine(tmp_path).relax(crystal(), fmax=0.05, max_steps=60)
    assert found.converged
    assert "CONTCAR to POSCAR" in found.details["corrections"][0]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("scf", r"with safer settings: .*Unconverged"),
        ("crash", r"ValidationError of VasprunXMLValidator"),
        ("killed", r"ValidationError of VasprunXMLValidator"),
        ("truncated", r"ValidationError of VasprunXMLValidator"),
        ("order", r"calculated another geometry than it was given"),
        ("nan", r"not finite"),
        ("incomplete", r"no forces|not finite"),
        ("memory", r"NonRecoverableError of StdErrHandler"),
    ],
)
def test_what_cannot_be_repaired_is_refused_with_its_reason(
    mode: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(failures.VARIABLE, mode)
    with pytest.raises(LabelError, match=reason) as refused:
        engine(tmp_path).static(crystal())
    assert refused.value.calls >= 2, "both attempts count"
    assert str(refused.value).count("\n") == 0
    assert "0x" not in str(refused.value)
    kept = sorted(tmp_path.iterdir(), key=lambda one: one.stat().st_ctime)
    assert len(kept) == 2
    assert refused.value.details["folders"] == [str(one) for one in kept]


def test_a_calculation_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failures.VARIABLE, "hang")
    with pytest.raises(LabelError, match=r"NonRecoverableError of FrozenJob.*Frozen job"):
        engine(tmp_path, frozen_after=2).static(crystal())


def test_an_absurd_answer_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept, and flagged where the label is made."""
    monkeypatch.setenv(failures.VARIABLE, "absurd")
    found = engine(tmp_path).static(crystal())
    assert found.energy == pytest.approx(1e6)
    assert "energy of more than 100 eV/atom" in str(absurdity(CONFIG, found))


def test_large_entropies_do_not_change_the_smearing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As custodian's LargeSigmaHandler would."""
    monkeypatch.setenv(failures.VARIABLE, "entropy")
    assert engine(tmp_path).static(crystal()).details["corrections"] == []


def test_a_repair_that_changes_what_is_measured_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custodian.vasp.handlers import LargeSigmaHandler

    monkeypatch.setenv(failures.VARIABLE, "entropy")
    plain = handlers.handlers
    monkeypatch.setattr(
        handlers, "handlers", lambda *args, **kw: [*plain(*args, **kw), LargeSigmaHandler()]
    )
    with pytest.raises(LabelError, match=r"changed what is measured: SIGMA \(0\.05 -> 0\.02"):
        engine(tmp_path).static(crystal())


@pytest.mark.parametrize(("keep", "left"), [(Keep.ALL, (1, 2)), (Keep.NONE, (0, 0))])
def test_files_stay_or_go_as_told(
    keep: Keep, left: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(tmp_path / "good", keep=keep).static(crystal())
    monkeypatch.setenv(failures.VARIABLE, "crash")
    with pytest.raises(LabelError):
        engine(tmp_path / "bad", keep=keep).static(crystal())
    counts = [len(list((tmp_path / name).iterdir())) for name in ("good", "bad")]
    assert tuple(counts) == left


# -- the time limit --------------------------------------------------------------------


def test_a_relaxation_stops_before_the_walltime_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUSTODIAN_WALLTIME_START", raising=False)
    monkeypatch.setenv("STAND_IN_VASP_SECONDS", "0.4")
    monkeypatch.setattr(handlers, "WalltimeHandler", lambda limit, _: WalltimeHandler(limit, 1))
    passed = time.time() - psutil.Process().create_time()
    limit = int(passed) + 6
    first = engine(tmp_path, walltime=limit).relax(crystal(), fmax=0.01, max_steps=60)
    assert first.interrupted
    assert not first.converged
    assert 1 < first.calls < 15
    assert first.fmax < np.linalg.norm(emt(crystal())[0], axis=1).max()

    assert first.details["corrections"] == ["Walltime reached: given up"], "said once"
    monkeypatch.setenv("STAND_IN_VASP_SECONDS", "0")
    second = engine(tmp_path).relax(first.crystal, fmax=0.05, max_steps=60)
    assert (second.converged, second.interrupted) == (True, False)


def test_a_walltime_that_has_passed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine does not enforce it; a step at a time would get nowhere."""
    monkeypatch.setenv("CUSTODIAN_WALLTIME_START", "Mon Jan 05 10:00:00 UTC 2026")
    found = engine(tmp_path, walltime=3600).relax(crystal(), fmax=0.05, max_steps=60)
    assert (found.converged, found.interrupted) == (True, False)


# -- what the user has to mend ---------------------------------------------------------


def test_a_missing_program_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no program 'vasp_of_nobody' here.*PYRITE_VASP_COMMAND"):
        make_engine(CONFIG, tmp_path, Machine(vasp_command="vasp_of_nobody -n 4"))


def test_a_command_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"PYRITE_VASP_COMMAND: .*No closing quot.*mpirun -n 16"):
        make_engine(CONFIG, tmp_path, Machine(vasp_command='mpirun "vasp_std'))


@pytest.mark.parametrize("command", ["env vasp_of_nobody", " ", "$NO_SUCH_VARIABLE"])
def test_a_program_that_another_starts_is_looked_for_too(command: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"there is no program .* here"):
        make_engine(CONFIG, tmp_path, Machine(vasp_command=command))


@pytest.mark.parametrize(
    ("tag", "message"),
    [("ENCUTT", r"no tag ENCUTT; did you mean ENCUT\?"), ("NSW", "NSW is set by the task")],
)
def test_incar_tags_that_cannot_be_are_refused_before_anything(tag: str, message: str) -> None:
    config = ReferenceConfig(engine="vasp", vasp={"incar": {tag: 5}})
    with pytest.raises(EngineError, match=message):
        check_engine(config)


def test_missing_potcars_end_the_search_and_not_a_label(tmp_path: Path) -> None:
    silicon = Crystal.from_atoms(bulk("Si"))
    with pytest.raises(EngineError, match=r"POTCAR.*Si.*PMG_VASP_PSP_DIR"):
        engine(tmp_path).static(silicon)
    assert not list(tmp_path.iterdir())


def test_settings_of_other_engines_are_refused(tmp_path: Path) -> None:
    config = ReferenceConfig(engine="vasp", settings={"ENCUT": 400})
    with pytest.raises(EngineError, match=r"reference\.vasp\.incar"):
        make_engine(config, tmp_path, Machine(vasp_command=COMMAND))


# -- inputs ----------------------------------------------------------------------------


def test_every_tag_of_the_config_reaches_the_incar() -> None:
    config = ReferenceConfig(engine="vasp").vasp
    inputs = vasp_inputs.input_set(config, vasp_inputs.relaxation_incar(config, 0.03, 50))
    inputs.structure = crystal().to_structure()
    incar = inputs.incar
    for tag in ("encut", "kspacing", "ismear", "sigma", "isym", "lreal", "ediff", "nelm"):
        assert incar[tag.upper()] == getattr(config, tag), tag
    assert (incar["ISPIN"], incar["ALGO"], incar["GGA"]) == (1, "Normal", "Pe")
    assert (incar["EDIFFG"], incar["NSW"], incar["ISIF"], incar["IBRION"]) == (-0.03, 50, 3, 2)
    assert {"MAGMOM", "LORBIT"}.isdisjoint(incar)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"energy": -401.0}, "energy of more than 100 eV/atom"),
        ({"forces": np.full((4, 3), 300.0)}, "force of more than 500 eV/Å"),
        ({"stress": np.eye(3) * -11}, "stress of more than 10 eV/Å³"),
        ({}, None),
    ],
)
def test_bounds_of_what_a_label_may_say(changes: dict[str, object], reason: str | None) -> None:
    values = {"energy": -14.0, "forces": np.ones((4, 3)), "stress": np.eye(3)}
    cost = {"calls": 1, "seconds": 1.0, "engine": "", "engine_version": "", "settings": {}}
    found = absurdity(CONFIG, StaticResult(**{**values, **changes}, **cost))
    assert found is None if reason is None else str(found).startswith(reason)
