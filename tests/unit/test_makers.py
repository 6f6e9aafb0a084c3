"""Any Maker as the reference, and what is made of its answers."""

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from tests.unit.builders import LENNARD_JONES, force_field, random_crystal, rocksalt_atoms

from pyrite.documents import Crystal
from pyrite.errors import LabelError
from pyrite.machine import Machine
from pyrite.models import engines
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.reference_config import ReferenceConfig

# ASE 3.29 meets NumPy 2.5 whenever it copies atoms.
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy:DeprecationWarning")


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
    found = engines.make_engine(config, tmp_path).static(Crystal.from_atoms(rocksalt_atoms()))
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
    mixed = Crystal.from_atoms(rocksalt_atoms(rattle=0.1)[[0, 4, 1, 5, 2, 6, 3, 7]])
    engine = stand_in("SortingMaker")
    for result in (engine.static(mixed), engine.relax(mixed, fmax=100, max_steps=5)):
        np.testing.assert_array_equal(result.forces[:, 0], mixed.numbers)
    np.testing.assert_allclose(result.crystal.positions, mixed.positions, atol=1e-9)


def test_kbar_of_vasp_become_ev_per_cubic_angstrom(stand_in):
    result = stand_in("SortingMaker").static(Crystal.from_atoms(rocksalt_atoms()))
    assert result.stress[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(("keep", "left"), [("all", ["first", "second"]), ("failed", [])])
def test_flow_gives_its_output_and_each_job_a_folder(stand_in, tmp_path, keep, left):
    engine = stand_in("FlowMaker", Machine(keep=keep))
    assert engine.static(Crystal.from_atoms(rocksalt_atoms())).energy == pytest.approx(2.0)
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
        engine.static(Crystal.from_atoms(rocksalt_atoms()))
    assert Path.cwd() == here
    assert list((tmp_path / "work").iterdir()) == []
    assert capfd.readouterr() == ("", "")


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
