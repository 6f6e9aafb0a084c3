import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from tests.unit.builders import random_crystal

from pyrite.documents import Crystal
from pyrite.errors import EngineError, LabelError
from pyrite.machine import Machine
from pyrite.models import engines, reference
from pyrite.models.engines import force_fields
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.reference_config import ReferenceConfig

# ASE 3.29 meets NumPy 2.5 whenever it copies atoms.
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy:DeprecationWarning")

LENNARD_JONES = ReferenceConfig(
    engine="maker",
    static_maker="atomate2.ase.jobs.LennardJonesStaticMaker",
    relax_maker="atomate2.ase.jobs.LennardJonesRelaxMaker",
    settings={"calculator_kwargs": {"sigma": 3.4, "epsilon": 0.0104, "rc": 8.0}},
)


def force_field(name: str, **arguments) -> ReferenceConfig:
    """atomate2's own force-field Makers."""
    return ReferenceConfig(
        engine="maker",
        static_maker="atomate2.forcefields.jobs.ForceFieldStaticMaker",
        relax_maker="atomate2.forcefields.jobs.ForceFieldRelaxMaker",
        settings={"force_field_name": name, "calculator_kwargs": arguments},
    )


@pytest.fixture(scope="module")
def chgnet(tmp_path_factory):
    return engines.make_engine(ReferenceConfig(), tmp_path_factory.mktemp("chgnet"))


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def make(name: str, machine: Machine | None = None, **settings):
        path = f"reference_makers.{name}"
        config = ReferenceConfig(
            engine="maker", static_maker=path, relax_maker=path, settings=settings
        )
        return engines.make_engine(config, tmp_path / "work", machine)

    return make


def rocksalt(strain: float = 0.0, rattle: float = 0.0, shear: float = 0.0) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    deform = np.eye(3) * (1 + strain)
    deform[0, 1] = shear
    atoms.set_cell(atoms.cell.array @ deform, scale_atoms=True)
    if rattle:
        atoms.rattle(rattle, seed=3)
    return atoms


def energy(engine, atoms: Atoms) -> float:
    return engine.static(Crystal.from_atoms(atoms)).energy


# ------------------------------------------------------------------ chgnet


def test_forces_are_the_gradient_of_the_energy(chgnet):
    atoms = rocksalt(rattle=0.15, shear=0.08)
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
    atoms = rocksalt(strain=-0.04, rattle=0.15, shear=0.08)
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
    squeezed = chgnet.static(Crystal.from_atoms(rocksalt(strain=-0.05))).stress
    stretched = chgnet.static(Crystal.from_atoms(rocksalt(strain=+0.05))).stress
    assert np.trace(squeezed) < 0 < np.trace(stretched)
    # −3·K·ΔV/V of NaCl, K about 25 GPa: eV/Å³, and neither kbar nor GPa
    assert -0.2 < np.trace(squeezed) < -0.02


def test_relaxation_reaches_fmax_and_counts_its_calls(chgnet):
    start = Crystal.from_atoms(rocksalt(strain=0.03, rattle=0.1, shear=0.05))
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
    atoms = rocksalt()
    atoms.positions[0] += (0.3, 0.1, 0.0)
    result = chgnet.relax(Crystal.from_atoms(atoms), fmax=0.03, max_steps=100)
    assert result.converged
    assert result.energy / 8 == pytest.approx(energy(chgnet, rocksalt()) / 8, abs=0.02)


def test_atoms_keep_their_order(chgnet):
    grouped = rocksalt(rattle=0.1)
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
    crystal = Crystal.from_atoms(rocksalt(rattle=0.1))
    assert [chgnet.static(crystal).calls for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    ("scale", "reason"),
    [(0.3, "collapsed"), (2.5, "isolated atom"), (12.0, "exploded"), (float("nan"), "finite")],
)
def test_hopeless_cells_are_refused_with_the_reason(chgnet, scale, reason):
    atoms = rocksalt()
    atoms.set_cell(atoms.cell.array * scale, scale_atoms=True)
    for calculate in (
        chgnet.static,
        lambda crystal: chgnet.relax(crystal, fmax=0.05, max_steps=10),
    ):
        with pytest.raises(LabelError, match=reason):
            calculate(Crystal.from_atoms(atoms))


def test_provenance_names_the_engine(chgnet):
    result = chgnet.relax(Crystal.from_atoms(rocksalt(rattle=0.05)), fmax=0.1, max_steps=30)
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
    crystal = Crystal.from_atoms(rocksalt(rattle=0.1))
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
    result = engine.static(Crystal.from_atoms(rocksalt(strain=-0.05, rattle=0.1)))
    assert result.forces.shape == (8, 3)
    assert result.stress.shape == (3, 3)
    assert np.trace(result.stress) < 0
    assert -4.0 < result.energy / 8 < -3.0
    assert (result.engine, result.calls) == ("sevennet", 1)
    assert result.settings["model"] == "7net-0"


# ------------------------------------------------------------------ any Maker


def test_maker_by_dotted_path(tmp_path):
    engine = engines.make_engine(LENNARD_JONES, tmp_path)
    argon = bulk("Ar", "fcc", a=5.0, cubic=True)
    argon.rattle(0.1, seed=1)
    start = engine.static(Crystal.from_atoms(argon))
    assert start.engine == "atomate2.ase.jobs.LennardJonesStaticMaker"
    assert start.engine_version[0].isdigit()
    assert np.trace(start.stress) < 0  # 5.0 Å is a compressed cell
    relaxed = engine.relax(Crystal.from_atoms(argon), fmax=0.01, max_steps=200)
    assert relaxed.converged
    assert relaxed.calls > 3
    assert relaxed.energy < start.energy


def test_labels_of_force_field_makers_name_the_version_of_the_force_field(tmp_path):
    config = force_field("CHGNet", use_device="cpu", on_isolated_atoms="error")
    found = engines.make_engine(config, tmp_path).static(Crystal.from_atoms(rocksalt()))
    versions = [importlib.metadata.version(name) for name in ("chgnet", "atomate2")]
    assert found.engine_version == f"CHGNet {versions[0]}, {versions[1]}"


def test_another_model_in_the_same_file_is_another_method(tmp_path):
    model = tmp_path / "model"
    model.mkdir()

    def method(**arguments):
        return engines.make_engine(force_field("GAP", **arguments), tmp_path).makers.settings

    (model / "gap.xml").write_text("one")
    for arguments in ({"param_filename": str(model / "gap.xml")}, {"deep": [{"er": str(model)}]}):
        (model / "gap.xml").write_text("one")
        first = method(**arguments)
        assert method(**arguments) == first
        (model / "gap.xml").write_text("other")
        assert method(**arguments) != first


def test_engines_that_sort_atoms_are_sorted_back(stand_in):
    mixed = Crystal.from_atoms(rocksalt(rattle=0.1)[[0, 4, 1, 5, 2, 6, 3, 7]])
    engine = stand_in("SortingMaker")
    for result in (engine.static(mixed), engine.relax(mixed, fmax=100, max_steps=5)):
        np.testing.assert_array_equal(result.forces[:, 0], mixed.numbers)
    np.testing.assert_allclose(result.crystal.positions, mixed.positions, atol=1e-9)


def test_kbar_of_vasp_become_ev_per_cubic_angstrom(stand_in):
    result = stand_in("SortingMaker").static(Crystal.from_atoms(rocksalt()))
    assert result.stress[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(("keep", "left"), [("all", ["first", "second"]), ("failed", [])])
def test_flow_gives_its_output_and_each_job_a_folder(stand_in, tmp_path, keep, left):
    engine = stand_in("FlowMaker", Machine(keep=keep))
    assert engine.static(Crystal.from_atoms(rocksalt())).energy == pytest.approx(2.0)
    assert sorted(path.name for path in (tmp_path / "work").glob("*/*")) == left


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan energy", "energy that is not finite"),
        ("infinite force", "forces that is not finite"),
        ("missing energy", "no energy"),
        ("missing stress", "no stress"),
        ("too few forces", r"forces of shape \(7, 3\)"),
        ("other atoms", "other atoms"),
        ("moved atoms", "another geometry"),
        ("no document", "no output"),
        ("unconverged", "BrokenMaker did not converge"),
        ("crash", "RuntimeError: the scratch disk is full$"),
    ],
)
def test_unusable_answers_are_refused_with_the_reason(stand_in, capfd, tmp_path, fault, reason):
    engine = stand_in("BrokenMaker", fault=fault)
    here = Path.cwd()
    with pytest.raises(LabelError, match=reason):
        engine.static(Crystal.from_atoms(rocksalt()))
    assert Path.cwd() == here
    assert list((tmp_path / "work").iterdir()) == []
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------ wrong engines


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"engine": "chgnt"}, r"reference\.engine: 'chgnt'.*did you mean chgnet\?"),
        (
            {"settings": {"calculator_kwarg": {}}},
            r"'calculator_kwarg'.*did you mean calculator_kwargs\?",
        ),
        ({"settings": {"relax_kwargs": 3}}, r"relax_kwargs must be a mapping"),
        (
            LENNARD_JONES.model_dump() | {"static_maker": "atomate2.ase.jobs.NoSuchMaker"},
            r"reference\.static_maker: 'atomate2\.ase\.jobs\.NoSuchMaker' cannot be imported",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "no_such_package.Maker"},
            r"reference\.relax_maker: 'no_such_package\.Maker' cannot be imported",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "nodots"},
            r"reference\.relax_maker: 'nodots'",
        ),
        (
            LENNARD_JONES.model_dump() | {"static_maker": "ase.Atoms"},
            r"reference\.static_maker: 'ase\.Atoms' is no Maker",
        ),
        (
            LENNARD_JONES.model_dump() | {"static_maker": "atomate2.cp2k.jobs.core.StaticMaker"},
            r"reference\.static_maker: .*cannot be trusted.*engines\.cp2k\.StaticMaker",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "atomate2.cp2k.jobs.core.CellOptMaker"},
            r"reference\.relax_maker: .*cannot be trusted.*engines\.cp2k\.RelaxMaker",
        ),
        (
            force_field("GAP", param_filename="/nowhere/gap.xml").model_dump(),
            r"reference\.settings: calculator_kwargs\.param_filename: .*/nowhere/gap\.xml",
        ),
        (
            LENNARD_JONES.model_dump()
            | {"relax_maker": "atomate2.forcefields.jobs.ForceFieldRelaxMaker"},
            r"reference\.relax_maker: .*ForceFieldRelaxMaker' .* other than .*LennardJones",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "atomate2.ase.jobs.EmtRelaxMaker"},
            r"reference\.relax_maker: .*EmtRelaxMaker' .* other than .*LennardJonesStaticMaker'",
        ),
        (
            LENNARD_JONES.model_dump() | {"settings": {"relax_kwargs": 3}},
            r"reference\.settings: relax_kwargs .*must be a mapping, and is 3",
        ),
        (
            LENNARD_JONES.model_dump() | {"settings": {"relax_kwarg": {}}},
            r"reference\.settings: 'relax_kwarg'.*did you mean relax_kwargs\?",
        ),
    ],
)
def test_wrong_engine_is_one_clear_sentence(config, message, tmp_path):
    config = ReferenceConfig(**config)
    with pytest.raises(EngineError, match=message) as failure:
        engines.check_engine(config)
    assert "\n" not in str(failure.value)
    with pytest.raises(EngineError, match=message):
        engines.make_engine(config, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_engine_that_is_not_installed_names_the_extra(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sevenn" else real(name)
    )
    with pytest.raises(EngineError, match=r'pip install "pyrite-csp\[sevennet\]"'):
        engines.check_engine(ReferenceConfig(engine="sevennet"))
    engines.check_engine(ReferenceConfig(engine="chgnet"))


def test_model_that_does_not_load_is_an_engine_error(tmp_path):
    config = ReferenceConfig(
        settings={"calculator_kwargs": {"on_isolated_atoms": "error", "model": 3}}
    )
    with pytest.raises(EngineError, match=r"reference\.engine: 'chgnet' does not load"):
        engines.make_engine(config, tmp_path)


def test_known_engines_are_checked_without_importing_them():
    code = (
        "import sys; from pyrite.config import ReferenceConfig;"
        "from pyrite.models.engines import check_engine; check_engine(ReferenceConfig());"
        "heavy = {'torch', 'chgnet', 'atomate2', 'pymatgen', 'jobflow'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("why", ["refused", "crashed", "unconverged"])
def test_a_failing_single_point_costs_its_relaxation_too(tmp_path: Path, why: str) -> None:
    def document(structure: Any, steps: int, cycles: int, state: str) -> Any:
        numbers = {"energy": -1.0, "forces": [[0.0] * 3] * 2, "stress": [[0.0] * 3] * 3}
        output = SimpleNamespace(**numbers, n_steps=steps, scf_cycles=cycles)
        return SimpleNamespace(structure=structure, output=output, state=state)

    def run(maker: str, structure: Any) -> tuple[Any, None]:
        if maker == "relax":
            return document(structure, 3, 40, "successful"), None
        if why == "refused":
            raise LabelError("no", calls=2, details={"scf_cycles": 9})
        if why == "crashed":
            raise RuntimeError("no")
        return document(structure, 1, 8, "failed"), None

    makers = Makers(
        engine="maker",
        engine_version="1",
        settings={},
        static="static",
        relax=lambda *_: "relax",
        run=run,
        single_point=True,
    )
    with pytest.raises(LabelError) as failed:
        MakerEngine(makers, tmp_path).relax(random_crystal(0, (14, 14)), fmax=0.1, max_steps=5)
    spent = {"refused": (5, 49), "crashed": (4, 40), "unconverged": (4, 48)}
    assert (failed.value.calls, failed.value.details["scf_cycles"]) == spent[why]
