"""The force fields that come with Pyrite, as references: physics, counts, walltime."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from tests.unit.builders import rocksalt_atoms

from pyrite.documents import Crystal
from pyrite.errors import LabelError
from pyrite.models import engines, reference
from pyrite.models.engines import force_fields
from pyrite.reference_config import ReferenceConfig

# ASE 3.29 meets NumPy 2.5 whenever it copies atoms.
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy:DeprecationWarning")


@pytest.fixture(scope="module")
def chgnet(tmp_path_factory):
    return engines.make_engine(ReferenceConfig(), tmp_path_factory.mktemp("chgnet"))


def energy(engine, atoms: Atoms) -> float:
    return engine.static(Crystal.from_atoms(atoms)).energy


def test_forces_are_the_gradient_of_the_energy(chgnet):
    atoms = rocksalt_atoms(rattle=0.15, shear=0.08)
    forces = chgnet.static(Crystal.from_atoms(atoms)).forces
    step = 0.01  # Å: CHGNet computes in single precision, so small steps drown in rounding
    for atom, axis in [(0, 0), (3, 2), (6, 1)]:
        moved = np.zeros((len(atoms), 3))
        moved[atom, axis] = step
        plus, minus = atoms.copy(), atoms.copy()
        plus.positions += moved
        minus.positions -= moved
        numerical = -(energy(chgnet, plus) - energy(chgnet, minus)) / (2 * step)
        assert forces[atom, axis] == pytest.approx(numerical, abs=0.01)
    assert np.abs(forces).max() > 0.3  # or the comparison proves nothing


def test_stress_is_the_strain_derivative_of_the_energy(chgnet):
    atoms = rocksalt_atoms(strain=-0.04, rattle=0.15, shear=0.08)
    stress = chgnet.static(Crystal.from_atoms(atoms)).stress
    step = 0.004
    for i, j in [(0, 0), (2, 2), (0, 1)]:
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(energy(chgnet, strained))
        numerical = (energies[0] - energies[1]) / (2 * step * atoms.get_volume())
        assert stress[i, j] == pytest.approx(numerical, abs=3e-4)
    assert abs(stress[0, 0]) > 0.01
    assert abs(stress[0, 1]) > 1e-3


def test_compression_is_negative_and_tension_positive(chgnet):
    squeezed = chgnet.static(Crystal.from_atoms(rocksalt_atoms(strain=-0.05))).stress
    stretched = chgnet.static(Crystal.from_atoms(rocksalt_atoms(strain=+0.05))).stress
    assert np.trace(squeezed) < 0 < np.trace(stretched)
    # −3·K·ΔV/V of NaCl, K about 25 GPa: eV/Å³, and neither kbar nor GPa
    assert -0.2 < np.trace(squeezed) < -0.02


def test_relaxation_reaches_fmax_and_counts_its_calls(chgnet):
    start = Crystal.from_atoms(rocksalt_atoms(strain=0.03, rattle=0.1, shear=0.05))
    first = chgnet.static(start)
    result = chgnet.relax(start, fmax=0.02, max_steps=100)
    assert result.converged
    assert result.fmax < 0.02
    assert np.abs(result.stress).max() < 1e-3
    assert result.energy < first.energy - 0.1
    assert result.crystal.numbers == start.numbers
    assert not np.allclose(result.crystal.cell, start.cell, atol=0.01)
    assert chgnet.static(result.crystal).energy == pytest.approx(result.energy, abs=1e-3)
    assert 5 < result.calls < 100
    assert first.calls == 1
    short = chgnet.relax(start, fmax=0.02, max_steps=4)
    assert not short.converged
    assert short.calls == 5  # the start, and one for each step


def test_a_relaxation_leaves_before_the_walltime_and_goes_on(chgnet, monkeypatch):
    start = Crystal.from_atoms(bulk("NaCl", "rocksalt", a=6.2))
    whole = chgnet.relax(start, fmax=0.05, max_steps=100)
    assert not whole.interrupted
    found, jobs = whole, 0
    crystal = start
    with monkeypatch.context() as short:
        short.setattr(force_fields, "seconds_left", lambda _: 0.0)
        while found is whole or found.interrupted:
            jobs += 1
            assert jobs < 60
            found = chgnet.relax(crystal, fmax=0.05, max_steps=100)
            crystal = found.crystal
            if found.interrupted:
                assert not found.converged
                assert found.calls == 2, "one step, whose numbers are not calculated again"
    assert (found.converged, found.calls) == (True, 1)
    assert jobs > 2
    assert found.energy == pytest.approx(whole.energy, abs=1e-3)
    again = chgnet.static(found.crystal)
    assert found.energy == pytest.approx(again.energy, abs=1e-5)
    assert found.forces == pytest.approx(again.forces, abs=1e-4)
    assert again.calls == 1


def test_labels_do_not_mind_the_walltime(chgnet, monkeypatch):
    monkeypatch.setattr(force_fields, "seconds_left", lambda _: 0.0)
    found = chgnet.static(Crystal.from_atoms(bulk("NaCl", "rocksalt", a=5.7)))
    assert found.calls == 1


def test_symmetry_does_not_bind_relaxations(chgnet):
    # One atom off its site in a rocksalt cell may come back without the others' leave.
    atoms = rocksalt_atoms()
    atoms.positions[0] += (0.3, 0.1, 0.0)
    result = chgnet.relax(Crystal.from_atoms(atoms), fmax=0.03, max_steps=100)
    assert result.converged
    assert result.energy / 8 == pytest.approx(energy(chgnet, rocksalt_atoms()) / 8, abs=0.02)


def test_atoms_keep_their_order(chgnet):
    grouped = rocksalt_atoms(rattle=0.1)
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    mixed = grouped[[int(i) for i in np.argsort(grouped.numbers, kind="stable")]][order]
    assert mixed.get_chemical_symbols() == ["Na", "Cl"] * 4
    inverse = np.argsort(order)
    straight = chgnet.static(Crystal.from_atoms(mixed[[int(i) for i in inverse]]))
    result = chgnet.static(Crystal.from_atoms(mixed))
    np.testing.assert_allclose(result.forces[inverse], straight.forces, atol=1e-3)
    relaxed = chgnet.relax(Crystal.from_atoms(mixed), fmax=0.05, max_steps=50)
    assert relaxed.crystal.numbers == tuple(mixed.numbers)
    moved = np.array(relaxed.crystal.positions) - mixed.positions
    assert np.linalg.norm(moved, axis=1).max() < 0.5


def test_same_geometry_costs_a_call_each_time(chgnet):
    crystal = Crystal.from_atoms(rocksalt_atoms(rattle=0.1))
    assert [chgnet.static(crystal).calls for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    ("scale", "reason"),
    [(0.3, "collapsed"), (2.5, "isolated atom"), (12.0, "exploded"), (float("nan"), "finite")],
)
def test_hopeless_cells_are_refused_with_the_reason(chgnet, scale, reason):
    atoms = rocksalt_atoms()
    atoms.set_cell(atoms.cell.array * scale, scale_atoms=True)
    for calculate in (
        chgnet.static,
        lambda crystal: chgnet.relax(crystal, fmax=0.05, max_steps=10),
    ):
        with pytest.raises(LabelError, match=reason):
            calculate(Crystal.from_atoms(atoms))


def test_provenance_names_the_engine(chgnet):
    result = chgnet.relax(Crystal.from_atoms(rocksalt_atoms(rattle=0.05)), fmax=0.1, max_steps=30)
    record = reference.provenance(result)
    assert (record.engine, record.engine_version) == ("chgnet", result.engine_version)
    assert record.engine_version[0].isdigit()
    assert record.settings["fmax"] == pytest.approx(0.1)
    assert record.reference_calls == result.calls
    assert record.seconds > 0
    assert record.scf_cycles is None


def test_runs_silently_in_its_directory_and_leaves_nothing(
    chgnet, capfd, caplog, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    engine = engines.make_engine(ReferenceConfig(), tmp_path / "launch")
    crystal = Crystal.from_atoms(rocksalt_atoms(rattle=0.1))
    engine.static(crystal)
    engine.relax(crystal, fmax=0.2, max_steps=20)
    with pytest.raises(LabelError):
        engine.static(Crystal.from_atoms(Atoms("Na", cell=np.eye(3) * 9, pbc=True)))
    assert Path.cwd() == elsewhere
    assert list(elsewhere.iterdir()) == []
    assert list((tmp_path / "launch").iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_sevennet_gives_the_same_kind_of_result(tmp_path):
    engine = engines.make_engine(ReferenceConfig(engine="sevennet"), tmp_path)
    result = engine.static(Crystal.from_atoms(rocksalt_atoms(strain=-0.05, rattle=0.1)))
    assert result.forces.shape == (8, 3)
    assert result.stress.shape == (3, 3)
    assert np.trace(result.stress) < 0
    assert -4.0 < result.energy / 8 < -3.0
    assert (result.engine, result.calls) == ("sevennet", 1)
    assert result.settings["model"] == "7net-0"
