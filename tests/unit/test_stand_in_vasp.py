"""The stand-in for VASP, as pymatgen, custodian and atomate2 see it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT, parameters
from custodian.utils import tracked_lru_cache
from custodian.vasp import handlers, validators
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Incar, Kpoints, Oszicar, Outcar, Poscar, Vasprun
from tests.stand_in_vasp import failures, potcars, vasp_std
from tests.stand_in_vasp.calculation import run

pytestmark = [
    pytest.mark.filterwarnings("ignore:POTCAR data with symbol"),
    pytest.mark.filterwarnings("ignore:.*is an unconverged VASP run"),
]

SCRIPT = Path(vasp_std.__file__)
KBAR = 1602.1766208  # per eV/Å³
STATIC = {
    "ALGO": "Normal",
    "EDIFF": 1e-5,
    "ISMEAR": 0,
    "ISPIN": 2,
    "KSPACING": 0.5,
    "LORBIT": 11,
    "LREAL": False,
    "NELM": 30,
    "NSW": 0,
    "SIGMA": 0.05,
}
RELAX = {**STATIC, "EDIFFG": -0.02, "IBRION": 2, "ISIF": 3, "NSW": 60}


@pytest.fixture(autouse=True)
def _no_failures(monkeypatch):
    for name in (failures.VARIABLE, "STAND_IN_VASP_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    yield
    tracked_lru_cache.tracked_cache_clear()


def crystal(*, sort: bool = True) -> Atoms:
    """Cu2Au2, distorted, sheared, and compressed a little."""
    atoms = bulk("Cu", "fcc", 3.8, cubic=True)
    atoms.symbols[[1, 2] if not sort else [2, 3]] = "Au"
    atoms.set_cell(atoms.cell.array @ [[1, 0.05, 0], [0, 1.04, 0.02], [0, 0, 0.98]], True)
    atoms.rattle(0.1, seed=4)
    return atoms


def write_inputs(folder: Path, atoms: Atoms, incar: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    poscar = Poscar(AseAtomsAdaptor.get_structure(atoms))
    poscar.write_file(folder / "POSCAR", significant_figures=16)
    text = "".join(potcars.potcar(symbol) for symbol in poscar.site_symbols)
    (folder / "POTCAR").write_text(text)
    Incar(incar).write_file(folder / "INCAR")
    return folder


def run_here(folder: Path) -> int:
    """In this process, with custodian's names for the streams."""
    with (
        (folder / "vasp.out").open("w") as out,
        (folder / "std_err.txt").open("w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        return run(folder)


def start(folder: Path, **environment: str) -> subprocess.Popen:
    """In a process of its own, as custodian starts it."""
    with (folder / "vasp.out").open("w") as out, (folder / "std_err.txt").open("w") as err:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            cwd=folder,
            stdout=out,
            stderr=err,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            start_new_session=True,
        )


@pytest.fixture
def vasp(tmp_path, monkeypatch):
    """Write inputs, run, and give the folder."""

    def calculate(incar=STATIC, atoms=None, fail="", folder="run", code=0) -> Path:
        path = write_inputs(tmp_path / folder, atoms or crystal(), incar)
        monkeypatch.setenv(failures.VARIABLE, fail)
        assert run_here(path) == code
        return path

    return calculate


def said(folder: Path) -> str:
    return " ".join((folder / "vasp.out").read_text().replace("|", " ").split())


def free_energy(folder: Path) -> float:
    return Vasprun(folder / "vasprun.xml").ionic_steps[-1]["e_fr_energy"]


def expected(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy from free atoms (eV), forces (eV/Å), stress (kB, compression positive)."""
    atoms = atoms.copy()
    atoms.calc = EMT()
    bulk_energy = sum(parameters[symbol][0] for symbol in atoms.get_chemical_symbols())
    stress = -KBAR * atoms.get_stress(voigt=False)
    return atoms.get_potential_energy() + bulk_energy, atoms.get_forces(), stress


# ------------------------------------------------------------------ what it answers


@pytest.mark.parametrize("sort", [True, False])
def test_answers_are_those_of_the_potential(vasp, sort):
    atoms = crystal(sort=sort)
    folder = vasp(atoms=atoms)
    energy, forces, stress = expected(atoms)
    found = Vasprun(folder / "vasprun.xml")
    (step,) = found.ionic_steps
    assert step["e_fr_energy"] == pytest.approx(energy, abs=1e-7)
    assert step["e_0_energy"] == pytest.approx(energy + 0.04, abs=1e-7)
    assert found.final_energy == pytest.approx(energy + 0.04, abs=1e-7)
    np.testing.assert_allclose(step["forces"], forces, atol=1e-7)
    np.testing.assert_allclose(step["stress"], stress, atol=1e-4)
    assert np.trace(step["stress"]) > 100  # it is compressed
    assert found.atomic_symbols == atoms.get_chemical_symbols()
    for structure in (found.final_structure, Structure.from_file(folder / "CONTCAR")):
        assert [site.specie.symbol for site in structure] == atoms.get_chemical_symbols()
        np.testing.assert_allclose(structure.cart_coords, atoms.positions, atol=1e-6)


def test_forces_are_the_gradient_of_the_free_energy(vasp):
    step = 0.01  # Å
    forces = Vasprun(vasp() / "vasprun.xml").ionic_steps[0]["forces"]
    for ion, axis in [(0, 0), (3, 2)]:
        plus, minus = crystal(), crystal()
        plus.positions[ion, axis] += step
        minus.positions[ion, axis] -= step
        change = free_energy(vasp(atoms=plus)) - free_energy(vasp(atoms=minus))
        assert forces[ion, axis] == pytest.approx(-change / (2 * step), abs=2e-3)
    assert np.abs(forces).max() > 0.3


def test_stress_is_the_strain_derivative_of_the_free_energy(vasp):
    atoms, strain = crystal(), 1e-3
    stress = Vasprun(vasp() / "vasprun.xml").ionic_steps[0]["stress"]
    energies = []
    for sign in (1, -1):
        strained = crystal()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * strain * np.diag([1, 0, 0])), True)
        energies.append(free_energy(vasp(atoms=strained)))
    pressure = -KBAR * (energies[0] - energies[1]) / (2 * strain * atoms.get_volume())
    assert stress[0][0] == pytest.approx(pressure, rel=1e-3)


def test_a_free_atom_has_no_energy_and_a_crystal_a_negative_one(vasp):
    alone = Atoms("Cu", cell=[12, 12, 12], pbc=True)
    assert free_energy(vasp(atoms=alone)) == pytest.approx(0, abs=1e-6)
    assert free_energy(vasp(atoms=bulk("Cu"))) == pytest.approx(-3.5, abs=0.1)


# ------------------------------------------------------------------ what readers find


def test_readers_agree(vasp):
    folder = vasp()
    xml = Vasprun(folder / "vasprun.xml")
    outcar, oszicar = Outcar(folder / "OUTCAR"), Oszicar(folder / "OSZICAR")
    (step,) = xml.ionic_steps
    assert xml.converged
    assert xml.run_type == "PBE"
    assert outcar.final_fr_energy == step["e_fr_energy"]
    assert outcar.final_energy == step["e_0_energy"]
    assert outcar.final_energy_wo_entrp == step["e_wo_entrp"]
    assert oszicar.ionic_steps[0]["F"] == pytest.approx(step["e_fr_energy"], abs=1e-7)
    assert oszicar.final_energy == pytest.approx(step["e_0_energy"], abs=1e-7)
    assert len(oszicar.electronic_steps[0]) == len(step["electronic_steps"]) == 8
    assert outcar.efermi == pytest.approx(xml.efermi, abs=1e-3)
    assert outcar.nelect == xml.parameters["NELECT"] == 44
    assert outcar.run_stats["cores"] == 1
    assert not outcar.is_stopped
    assert len(outcar.charge) == len(outcar.magnetization) == 4
    assert [spec["titel"] for spec in xml.potcar_spec] == [
        "PAW_PBE Cu 01Jan2000",
        "PAW_PBE Au 01Jan2000",
    ]
    assert (folder / "std_err.txt").read_text() == ""


def test_the_echo_of_incar_is_what_was_set(vasp):
    tags = {
        **STATIC,
        "LDAU": True,
        "LDAUL": [2, -1],
        "LDAUU": [3.0, 0.0],
        "LDAUJ": [0.5, 0.0],
        "MAGMOM": [0.6, 0.6, -1.0, 2.0],
        "METAGGA": "R2SCAN",
        "SYSTEM": "a < b",
    }
    found = Vasprun(vasp(tags) / "vasprun.xml")
    for tag, value in Incar(tags).items():
        assert found.incar[tag] == value, tag
    assert found.hubbards == {"Cu": 2.5, "Au": 0.0}
    assert found.parameters["NSW"] == 0
    assert found.parameters["IBRION"] == -1


def test_kpoints_come_from_their_file_or_from_spacing(vasp, tmp_path):
    lengths = np.array(AseAtomsAdaptor.get_structure(crystal()).lattice.reciprocal_lattice.abc)
    spaced = Vasprun(vasp(folder="spaced") / "vasprun.xml")
    assert spaced.kpoints.kpts == [tuple(np.ceil(lengths / 0.5))]
    assert sum(spaced.actual_kpoints_weights) == pytest.approx(1)
    folder = tmp_path / "file"
    folder.mkdir()
    Kpoints.monkhorst_automatic((2, 3, 1)).write_file(folder / "KPOINTS")
    found = Vasprun(vasp(folder="file") / "vasprun.xml")
    assert found.kpoints.kpts == [(2, 3, 1)]
    assert found.kpoints.style == Kpoints.supported_modes.Monkhorst
    # Six points, three of them mirror images of the others.
    assert len(found.actual_kpoints) == 3
    assert found.actual_kpoints_weights == pytest.approx([1 / 3] * 3)


def test_metals_have_no_gap_and_others_have_one(vasp):
    oxide = Atoms("Cu2O2", cell=[4, 4, 4], pbc=True)
    oxide.set_scaled_positions([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    assert Vasprun(vasp() / "vasprun.xml").eigenvalue_band_properties[0] == 0
    assert Vasprun(vasp(atoms=oxide) / "vasprun.xml").eigenvalue_band_properties[0] > 1


# ------------------------------------------------------------------ relaxations


@pytest.mark.parametrize(("ibrion", "isif"), [(1, 2), (2, 3), (3, 2)])
def test_relaxations_meet_their_criterion(vasp, ibrion, isif):
    folder = vasp({**RELAX, "IBRION": ibrion, "ISIF": isif, "NSW": 200})
    found = Vasprun(folder / "vasprun.xml")
    energies = [step["e_fr_energy"] for step in found.ionic_steps]
    largest = [np.linalg.norm(step["forces"], axis=1).max() for step in found.ionic_steps]
    assert found.converged
    assert 3 < len(energies) < 200
    assert energies[-1] < energies[0] - 0.05
    assert largest[-1] < 0.02 < largest[0]
    assert "reached required accuracy" in said(folder)
    moved = not np.allclose(found.structures[0].lattice.matrix, found.structures[-1].lattice.matrix)
    assert moved == (isif == 3)
    if isif == 3:
        assert np.abs(found.ionic_steps[-1]["stress"]).max() < 10
    final = AseAtomsAdaptor.get_atoms(found.final_structure)
    assert expected(final)[0] == pytest.approx(energies[-1], abs=1e-6)
    assert Structure.from_file(folder / "CONTCAR") == found.final_structure
    assert len(Oszicar(folder / "OSZICAR").ionic_steps) == len(energies)


def test_a_positive_ediffg_compares_energies(vasp):
    energies = [
        step["e_fr_energy"]
        for step in Vasprun(vasp({**RELAX, "EDIFFG": 1e-3}) / "vasprun.xml").ionic_steps
    ]
    changes = np.abs(np.diff(energies))
    assert changes[-1] < 1e-3 < changes[:-1].min()


def test_nsw_is_the_largest_number_of_steps(vasp):
    found = Vasprun(vasp({**RELAX, "NSW": 3}) / "vasprun.xml")
    assert len(found.ionic_steps) == 3
    assert not found.converged_ionic


@pytest.mark.parametrize(("tag", "how"), [("LSTOP", "soft"), ("LABORT", "hard")])
def test_stopcar_ends_a_relaxation(vasp, tmp_path, tag, how):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "STOPCAR").write_text(f"{tag} = .TRUE.")
    folder = vasp(RELAX)
    found = Vasprun(folder / "vasprun.xml")
    assert len(found.ionic_steps) == 1
    assert found.converged_ionic  # pymatgen sees only that NSW was not reached
    assert f"{how} stop encountered" in (folder / "OUTCAR").read_text()
    assert Outcar(folder / "OUTCAR").is_stopped == (how == "soft")
    assert not (folder / "STOPCAR").exists()


@pytest.mark.filterwarnings("ignore:XML is malformed")
def test_outputs_grow_step_by_step(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), RELAX)
    for name in ("OSZICAR", "OUTCAR", "vasprun.xml", "CONTCAR"):
        (folder / name).write_text("from an earlier run\n" * 9999)
    process = start(folder, STAND_IN_VASP_SECONDS="0.2")
    try:
        wait_for(lambda: "2 F=" in (folder / "OSZICAR").read_text())
        assert process.poll() is None
        assert "earlier" not in (folder / "vasprun.xml").read_text()
        growing = Vasprun(folder / "vasprun.xml", exception_on_bad_xml=False)
        assert len(growing.ionic_steps) >= 1
        assert Outcar(folder / "OUTCAR").final_fr_energy < -10
        assert len(Structure.from_file(folder / "CONTCAR")) == 4
        # custodian measures the time of ionic steps here
        handler = handlers.WalltimeHandler(wall_time=1, buffer_time=0)
        time.sleep(1)
        assert handler.check(str(folder))
        handler.correct(str(folder))
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert Outcar(folder / "OUTCAR").is_stopped
    assert len(Vasprun(folder / "vasprun.xml").ionic_steps) < 12


def wait_for(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# ------------------------------------------------------------------ what it refuses


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ENCUTT": 500}, "ENCUTT in INCAR is unknown to the stand-in; did you mean ENCUT?"),
        ({"PSTRESS": 100}, "PSTRESS in INCAR is unknown"),
        ({"LOPTICS": True}, "LOPTICS = .TRUE. asks for results"),
        ({"IBRION": 0, "NSW": 5}, "IBRION = 0 is not among those"),
        ({"NSW": 5}, "IBRION = 0 is not among those"),
        ({"ISIF": 4}, "ISIF = 4 is not among those"),
        ({"ALGO": "Exact"}, "ALGO = Exact is not among those"),
        ({"EDIFF": -1}, "EDIFF = -1.0 is not positive"),
        ({"NBANDS": 3}, "NBANDS = 3 is too small"),
        ({"KSPACING": 0}, "KSPACING = 0.0 is not positive"),
    ],
)
def test_incar_is_checked(vasp, change, words):
    assert words in said(vasp({**STATIC, **change}, code=1))


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        ("ISPIN = two", "ISPIN"),
        ("ENCUT = 5OO", "ENCUT"),
        ("SIGMA = nan", "SIGMA"),
        ("LASPH = yes", "LASPH"),
        ("MAGMOM = 3*0.6", "MAGMOM"),
        ("LDAUU = 1 2 3", "LDAUU"),
    ],
)
def test_values_are_parsed(vasp, tmp_path, line, tag):
    folder = write_inputs(tmp_path / "run", crystal(), {"KSPACING": 0.5})
    (folder / "INCAR").write_text(f"KSPACING = 0.5\n{line}\n")
    assert run_here(folder) == 1
    assert f"Error reading item '{tag}' from file INCAR" in said(folder)
    handler = handlers.VaspErrorHandler()
    assert handler.check(str(folder))
    assert handler.errors == {"read_error"}


def test_incar_may_be_written_in_many_ways(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), {})
    (folder / "INCAR").write_text(
        "kspacing = 0.5 ; NELM=12 ! enough\n# a comment = 3\nLREAL = Auto\nLWAVE = .FALSE.\n"
        "MAGMOM = 2*0.6 \\\n 2*1\nEDIFF = 1d-6\nLCHARG = f\n"
    )
    assert run_here(folder) == 0
    found = Vasprun(folder / "vasprun.xml").incar
    assert found["MAGMOM"] == [0.6, 0.6, 1, 1]
    assert (found["EDIFF"], found["NELM"], found["LWAVE"]) == (1e-6, 12, False)


@pytest.mark.parametrize("name", ["INCAR", "POSCAR", "POTCAR"])
def test_missing_files_are_refused(tmp_path, name):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    (folder / name).unlink()
    assert run_here(folder) == 1
    assert f"no {name} file" in said(folder)


def test_potcar_must_follow_poscar(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    (folder / "POTCAR").write_text(potcars.potcar("Au") + potcars.potcar("Cu"))
    assert run_here(folder) == 1
    assert "POTCAR (Au Cu) are not those of POSCAR (Cu Au)" in said(folder)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("direct", "Selective\ndirect"), "no selective dynamics"),
        (("2 2", "2 x"), "POSCAR does not parse"),
        (("Cu Au\n2", "2"), "POSCAR does not parse"),
        (("2 2", "2 3"), "POSCAR does not parse"),
    ],
)
def test_poscar_is_checked(tmp_path, edit, words):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    text = (folder / "POSCAR").read_text()
    assert edit[0] in text
    (folder / "POSCAR").write_text(text.replace(*edit))
    assert run_here(folder) == 1
    assert words in said(folder)


def test_there_must_be_kpoints(vasp):
    no_spacing = {tag: value for tag, value in STATIC.items() if tag != "KSPACING"}
    assert "neither a KPOINTS file nor KSPACING" in said(vasp(no_spacing, code=1))


def test_other_elements_are_refused(vasp):
    words = said(vasp(atoms=bulk("NaCl", "rocksalt", a=5.6), code=1))
    assert "no potential for Cl Na; it knows Ag Al Au C Cu H N Ni O Pd Pt" in words


@pytest.mark.parametrize("text", ["meltdown", "scf:twice", "scf:share=2", "scf:share", "scf once"])
def test_misspelt_failures_are_refused(vasp, text):
    assert f"STAND_IN_VASP_FAIL: {text!r} is not" in said(vasp(fail=text, code=1))


@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.sets.BadInputSetWarning")
def test_input_sets_use_only_known_tags():
    """Of pymatgen and atomate2, as far as they make static calculations and relaxations."""
    from atomate2.vasp.sets import core
    from pymatgen.io.vasp import sets
    from tests.stand_in_vasp.tags import KNOWN

    structure = AseAtomsAdaptor.get_structure(crystal())
    generators = [
        sets.MatPESStaticSet(),
        sets.MatPESStaticSet(xc_functional="R2SCAN", user_incar_settings={"GGA": None}),
        sets.MPRelaxSet(),
        sets.MPStaticSet(),
        sets.MPScanRelaxSet(),
        sets.MP24RelaxSet(),
        sets.MP24StaticSet(),
        core.RelaxSetGenerator(),
        core.TightRelaxSetGenerator(),
        core.StaticSetGenerator(),
    ]
    for generator in generators:
        generator.structure = structure
        assert set(generator.incar) <= KNOWN.keys(), type(generator)


# ------------------------------------------------------------------ failures, and who sees them


def seen_by(handler: handlers.ErrorHandler, folder: Path) -> bool:
    tracked_lru_cache.tracked_cache_clear()
    return bool(handler.check(str(folder)))


def repaired(handler: handlers.ErrorHandler, folder: Path) -> dict:
    """Let custodian correct the inputs, run again, and give its changes to INCAR."""
    actions = handler.correct(str(folder))["actions"]
    assert run_here(folder) == 0
    assert not seen_by(handler, folder)
    changes: dict = {}
    for action in actions:
        changes |= action["action"].get("_set", {})
    return changes


def test_nobody_sees_anything_in_a_good_run(vasp):
    from atomate2.vasp.run import DEFAULT_HANDLERS

    checks = [
        *DEFAULT_HANDLERS,
        validators.VasprunXMLValidator(),
        validators.VaspFilesValidator(),
    ]
    for folder in (vasp({**STATIC, "KSPACING": 0.22}), vasp({**RELAX, "KSPACING": 0.22})):
        assert [check for check in checks if seen_by(check, folder)] == []


@pytest.mark.parametrize("algo", ["Fast", "All"])
def test_scf_never_converges(vasp, algo):
    folder = vasp({**STATIC, "ALGO": algo}, fail="scf")
    found = Vasprun(folder / "vasprun.xml")
    assert not found.converged_electronic
    assert len(found.ionic_steps[0]["electronic_steps"]) == STATIC["NELM"]
    assert free_energy(folder) == pytest.approx(expected(crystal())[0] + 0.4, abs=1e-6)
    assert seen_by(handlers.UnconvergedErrorHandler(), folder)


def test_scf_fast_converges_with_another_algorithm(vasp):
    folder = vasp(fail="scf_fast")
    handler = handlers.UnconvergedErrorHandler()
    assert seen_by(handler, folder)
    assert repaired(handler, folder)["ALGO"] == "All"
    assert free_energy(folder) == pytest.approx(expected(crystal())[0], abs=1e-6)


def test_a_long_relaxation_without_convergence_is_seen(vasp):
    folder = vasp({**RELAX, "NSW": 12, "EDIFFG": -1e-4}, fail="scf")
    assert seen_by(handlers.NonConvergingErrorHandler(), folder)
    assert not seen_by(handlers.NonConvergingErrorHandler(), vasp({**RELAX, "NSW": 12}))


def test_zbrent_is_repaired(vasp):
    folder = vasp(RELAX, fail="zbrent", code=1)
    handler = handlers.VaspErrorHandler()
    assert seen_by(handler, folder)
    assert handler.errors == {"zbrent"}
    assert repaired(handler, folder) == {"EDIFF": 1e-6, "NELMIN": 8}
    # It went on from CONTCAR.
    assert len(Vasprun(folder / "vasprun.xml").ionic_steps) > 1
    start = Structure.from_file(folder / "POSCAR").cart_coords
    assert not np.allclose(start, crystal().positions, atol=1e-3)


def test_zbrent_needs_a_line_search(vasp):
    vasp(STATIC, fail="zbrent")
    vasp({**RELAX, "IBRION": 1}, fail="zbrent")


@pytest.mark.parametrize("algo", ["Normal", "Fast", "VeryFast"])
def test_edddav_is_repaired(vasp, algo):
    folder = vasp({**STATIC, "ALGO": algo}, fail="edddav", code=1)
    handler = handlers.VaspErrorHandler()
    assert seen_by(handler, folder)
    assert handler.errors == {"edddav"}
    assert seen_by(validators.VasprunXMLValidator(), folder)
    assert repaired(handler, folder) == {"ALGO": "All", "ISEARCH": 1}


def test_entropy_is_repaired(vasp):
    folder = vasp(fail="entropy")
    handler = handlers.LargeSigmaHandler()
    assert seen_by(handler, folder)
    assert repaired(handler, folder)["SIGMA"] < 0.03


def test_memory_is_seen(vasp):
    folder = vasp(fail="memory", code=1)
    handler = handlers.StdErrHandler()
    assert seen_by(handler, folder)
    assert handler.errors == {"out_of_memory"}


def test_gapless_crystals_are_seen(vasp):
    folder = vasp({**RELAX, "ISMEAR": -5})
    assert seen_by(handlers.KspacingMetalHandler(), folder)
    assert seen_by(handlers.IncorrectSmearingHandler(), folder)


def test_a_crash_leaves_nothing(vasp):
    vasp()
    folder = vasp(fail="crash", code=1)
    assert (folder / "vasprun.xml").read_text() == ""
    assert seen_by(validators.VasprunXMLValidator(), folder)


@pytest.mark.parametrize("incar", [STATIC, RELAX])
def test_a_killed_run_leaves_half(tmp_path, incar):
    folder = write_inputs(tmp_path / "run", crystal(), incar)
    assert start(folder, STAND_IN_VASP_FAIL="killed").wait(20) == -signal.SIGKILL
    assert "<calculation>" in (folder / "vasprun.xml").read_text()
    assert "DAV:" in (folder / "OSZICAR").read_text()
    assert seen_by(validators.VasprunXMLValidator(), folder)
    assert not seen_by(validators.VaspFilesValidator(), folder)


def test_a_truncated_file_is_seen(vasp):
    folder = vasp(fail="truncated")
    assert seen_by(validators.VasprunXMLValidator(), folder)
    assert "General timing" in (folder / "OUTCAR").read_text()


def test_order_is_consistent_and_other(vasp):
    folder = vasp(fail="order")
    found = Vasprun(folder / "vasprun.xml")
    _, forces, _ = expected(crystal())
    assert found.atomic_symbols == ["Au", "Au", "Cu", "Cu"]
    np.testing.assert_allclose(found.ionic_steps[0]["forces"], forces[::-1], atol=1e-7)
    final = Structure.from_file(folder / "CONTCAR")
    np.testing.assert_allclose(final.cart_coords, crystal().positions[::-1], atol=1e-6)
    assert final == found.final_structure


def test_nan_passes_custodian(vasp):
    from atomate2.vasp.run import DEFAULT_HANDLERS

    folder = vasp({**STATIC, "KSPACING": 0.22}, fail="nan")
    found = Vasprun(folder / "vasprun.xml")
    assert np.isnan(found.final_energy)
    assert np.isnan(found.ionic_steps[0]["forces"]).all()
    assert [handler for handler in DEFAULT_HANDLERS if seen_by(handler, folder)] == []
    assert not seen_by(validators.VasprunXMLValidator(), folder)


@pytest.mark.filterwarnings("ignore:Calculation does not have a total energy")
def test_an_incomplete_file_passes_custodian(vasp):
    folder = vasp(fail="incomplete")
    found = Vasprun(folder / "vasprun.xml")
    assert np.isinf(found.final_energy)
    assert "forces" not in found.ionic_steps[0]
    assert found.converged
    assert not seen_by(validators.VasprunXMLValidator(), folder)


def test_absurd_energies_are_seen(vasp):
    folder = vasp(fail="absurd")
    assert free_energy(folder) == 1e6
    assert np.abs(Vasprun(folder / "vasprun.xml").ionic_steps[0]["forces"]).max() == 1e5
    assert seen_by(handlers.PositiveEnergyErrorHandler(), folder)


def test_a_hanging_run_is_seen_and_ends_on_sigterm(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    process = start(folder, STAND_IN_VASP_FAIL="hang")
    try:
        wait_for(lambda: "POSCAR found" in (folder / "vasp.out").read_text())
        time.sleep(0.6)
        assert seen_by(handlers.FrozenJobErrorHandler(timeout=0.5), folder)
        assert process.poll() is None
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_once_means_the_first_run_of_a_directory(vasp):
    vasp(fail="crash:once", code=1)
    vasp(fail="crash:once")
    vasp(fail="crash:once", folder="another", code=1)


def test_a_share_of_geometries_fails_again_and_again(vasp, monkeypatch):
    generator = np.random.default_rng(0)
    poscars = []
    for _ in range(400):
        scaled = generator.random((3, 3))
        cell = 4 * np.eye(3) + generator.random((3, 3))
        poscars.append(failures.Poscar("", ("Cu", "Cu", "Au"), cell, scaled))
    lots = np.array([failures.lot(poscar, failures.Mode.SCF) for poscar in poscars])
    assert 0.23 < (lots < 0.3).mean() < 0.37
    first = poscars[0]
    same = failures.Poscar("x", ("Al",) * 3, first.cell + 1e-9, first.scaled[::-1] + 1e-9)
    assert failures.lot(same, failures.Mode.SCF) == lots[0]
    assert failures.lot(first, failures.Mode.NAN) != lots[0]
    vasp(fail="crash:share=1.0", code=1)
    vasp(fail="crash:share=0")
    share = np.nextafter(lot_of(crystal(), failures.Mode.CRASH), 1)
    for _ in range(2):
        vasp(fail=f"crash:share={share!r}", code=1)


def lot_of(atoms: Atoms, mode: failures.Mode) -> float:
    symbols = tuple(atoms.get_chemical_symbols())
    cell, scaled = atoms.cell.array, atoms.get_scaled_positions(wrap=False)
    return failures.lot(failures.Poscar("", symbols, cell, scaled), mode)


def test_failures_combine(vasp):
    found = Vasprun(vasp(fail="order, nan") / "vasprun.xml")
    assert found.atomic_symbols == ["Au", "Au", "Cu", "Cu"]
    assert np.isnan(found.final_energy)


# ------------------------------------------------------------------ with everything real


def test_it_starts_quickly_by_path(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    started = time.perf_counter()
    assert start(folder).wait(20) == 0
    assert time.perf_counter() - started < 5  # 0.7 s on an idle machine
    assert free_energy(folder) == pytest.approx(expected(crystal())[0], abs=1e-6)


def test_dummy_potcars_serve_every_functional(tmp_path):
    elements = ["Cu", "Au"]
    subprocess.run([sys.executable, potcars.__file__, str(tmp_path), *elements], check=True)
    from pymatgen.io.vasp.inputs import POTCAR_FUNCTIONAL_MAP, PotcarSingle

    for functional in ("PBE", "PBE_52", "PBE_54", "PBE_64", "PBE_52_W_HASH", "PBE_54_W_HASH"):
        folder = tmp_path / POTCAR_FUNCTIONAL_MAP[functional]
        for element in elements:
            for variant in ("", "_pv", "_sv"):
                single = PotcarSingle.from_file(folder / f"POTCAR.{element}{variant}")
                assert (single.symbol, single.element) == (element + variant, element)
                assert single.functional == "PBE"
                assert single.zval == 11


def test_atomate2_runs_it_under_custodian(tmp_path):
    """Stock Maker, default handlers; the first run does not converge, and is repaired."""
    potcars.write_potcars(tmp_path / "potcars", ["Cu", "Au"])
    (tmp_path / "crystal.json").write_text(AseAtomsAdaptor.get_structure(crystal()).to_json())
    script = textwrap.dedent(
        """
        import json, sys, warnings
        warnings.simplefilter("ignore")
        from atomate2.vasp.jobs.matpes import MatPesGGAStaticMaker
        from jobflow import run_locally
        from pymatgen.core import Structure

        maker = MatPesGGAStaticMaker(
            run_vasp_kwargs={"custodian_kwargs": {"polling_time_step": 0.2, "monitor_freq": 5}}
        )
        job = maker.make(Structure.from_file("crystal.json"))
        responses = run_locally(job, create_folders=True, ensure_success=True, log=False)
        document = responses[job.uuid][1].output
        step = document.calcs_reversed[0].output.ionic_steps[-1]
        corrections = [c for entry in document.custodian for c in entry.corrections]
        json.dump(
            {
                "state": str(document.state.value),
                "energy": document.output.energy,
                "free": step.e_fr_energy,
                "forces": document.output.forces,
                "stress": document.output.stress,
                "symbols": [site.specie.symbol for site in document.output.structure],
                "run_type": str(document.run_type.value),
                "corrections": len(corrections),
            },
            open("answer.json", "w"),
        )
        """
    )
    environment = {
        **os.environ,
        "ATOMATE2_VASP_CMD": f"{sys.executable} {SCRIPT}",
        "OMP_NUM_THREADS": "1",
        "PMG_VASP_PSP_DIR": str(tmp_path / "potcars"),
        failures.VARIABLE: "scf_fast",
    }
    subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60
    )
    answer = json.loads((tmp_path / "answer.json").read_text())
    energy, forces, stress = expected(crystal())
    assert answer["state"] == "successful"
    assert answer["symbols"] == crystal().get_chemical_symbols()
    assert answer["free"] == pytest.approx(energy, abs=1e-6)
    assert answer["energy"] == pytest.approx(energy + 0.04, abs=1e-6)
    np.testing.assert_allclose(answer["forces"], forces, atol=1e-6)
    np.testing.assert_allclose(answer["stress"], stress, atol=1e-3)
    assert answer["run_type"] == "PBE"
    assert answer["corrections"] == 1
