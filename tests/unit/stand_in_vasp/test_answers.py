"""What the stand-in for VASP answers, and what pymatgen reads of it."""

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from custodian.vasp import handlers
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Incar, Kpoints, Oszicar, Outcar, Vasprun
from tests.unit.stand_in_vasp.runs import (
    KBAR,
    QUIET,
    RELAX,
    STATIC,
    crystal,
    expected,
    free_energy,
    said,
    start,
    wait_for,
    write_inputs,
)

pytestmark = QUIET


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
