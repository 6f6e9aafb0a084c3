"""Real CP2K through atomate2's input sets: a Maker by its dotted path that is a program."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.cli.pmg_config import setup_cp2k_data
from pymatgen.core import SETTINGS
from tests.unit.builders import TWO_CELL, TWO_PLACES, moving_only, two_atoms

from pyrite.errors import EngineError, LabelError
from pyrite.machine import Keep, Machine
from pyrite.models.engines import make_engine
from pyrite.models.engines.makers import MakerEngine
from pyrite.models.reference import ReferenceEngine
from pyrite.reference_config import ReferenceConfig

DATA = Path("/usr/share/cp2k")
MAKERS = "pyrite.models.engines.cp2k"
# One k-point, soft atoms, few functions: what is compared is the same calculation with itself.
COARSE: dict[str, Any] = {
    "cutoff": 200,
    "finer_xc_grid": False,
    "kspacing": 2.2,
    "basis": "SZV-MOLOPT-SR-GTH",
}

pytestmark = pytest.mark.skipif(
    shutil.which("cp2k.psmp") is None or not DATA.is_dir(),
    reason="CP2K is not installed (Debian, Ubuntu: apt-get install cp2k)",
)


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `pmg config --cp2k` makes of the two files that are needed: all take seconds to read."""
    source = tmp_path_factory.mktemp("cp2k")
    for name in ("BASIS_MOLOPT", "GTH_POTENTIALS"):
        shutil.copy(DATA / name, source)
    folder = source / "data"
    with contextlib.redirect_stdout(io.StringIO()):
        setup_cp2k_data([str(source), str(folder)])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CP2K_DATA_DIR", raising=False)
        patch.setitem(SETTINGS, "PMG_CP2K_DATA_DIR", str(folder))
        yield


def engine(folder: Path, keep: Keep = Keep.FAILED, **settings: Any) -> ReferenceEngine:
    config = ReferenceConfig(
        engine="maker",
        static_maker=f"{MAKERS}.StaticMaker",
        relax_maker=f"{MAKERS}.RelaxMaker",
        settings={**COARSE, **settings},
    )
    return make_engine(config, folder, Machine(keep=keep))


def test_forces_and_stress_are_derivatives_of_the_energy(tmp_path: Path) -> None:
    """Central differences of a metal, atoms not in the order of their numbers."""
    calculate = engine(tmp_path, width=0.5).static
    found = calculate(two_atoms())
    assert found.engine == f"{MAKERS}.StaticMaker"
    assert found.engine_version.startswith("CP2K ")
    assert found.scf_cycles is not None
    assert 3 < found.scf_cycles < 60

    step = np.zeros((2, 3))
    step[0, 1] = 0.01
    up, down = (calculate(two_atoms(TWO_PLACES + sign * step)).energy for sign in (1, -1))
    assert abs(found.forces[0, 1]) > 0.1
    assert (down - up) / 0.02 == pytest.approx(found.forces[0, 1], abs=5e-3)

    strain = np.diag([0.004, 0.0, 0.0])
    energies = [
        calculate(two_atoms(TWO_PLACES @ one, TWO_CELL @ one)).energy
        for one in (np.eye(3) + strain, np.eye(3) - strain)
    ]
    quotient = (energies[0] - energies[1]) / 0.008 / abs(np.linalg.det(TWO_CELL))
    assert abs(found.stress[0, 0]) > 0.03
    assert quotient == pytest.approx(found.stress[0, 0], abs=3e-3)

    assert list(tmp_path.iterdir()) == [], "what succeeded leaves nothing"


def test_a_relaxation_takes_its_limits_from_the_search(tmp_path: Path) -> None:
    """Its own document has other units of stress, and atoms in a cell that was turned; it says of
    the last geometry what a single point says there."""
    calculate = engine(tmp_path)
    found = moving_only(calculate).relax(two_atoms(), fmax=0.05, max_steps=1)
    assert not found.converged
    assert 2 <= found.calls <= 3
    again = calculate.static(found.crystal)
    assert again.energy == pytest.approx(found.energy, abs=1e-4)
    assert np.allclose(again.forces, found.forces, atol=1e-3)
    assert np.allclose(again.stress, found.stress, atol=1e-5)
    assert found.fmax > 0.1
    assert np.abs(found.stress).max() > 0.01


def test_a_relaxation_that_reaches_its_limits_has_converged(tmp_path: Path) -> None:
    cell = np.array([[0.0, 2.75, 2.75], [2.75, 0.0, 2.75], [2.75, 2.75, 0.05]])
    places = [[0.03, 0.0, 0.0], [1.375, 1.375, 1.375]]
    calculate = engine(tmp_path, kspacing=1.5)
    found = calculate.relax(two_atoms(places, cell, (14, 14)), fmax=0.5, max_steps=15)
    assert found.converged
    assert 3 < found.calls < 15, "with the last single point"
    assert 0.05 < found.fmax < 0.5
    assert found.fmax < calculate.static(two_atoms(places, cell, (14, 14))).fmax


def test_labels_tell_other_methods_apart_but_not_other_machines(tmp_path: Path) -> None:
    def method(**settings: Any) -> dict[str, Any]:
        made = engine(tmp_path, **settings)
        assert isinstance(made, MakerEngine)
        return dict(made.makers.settings)

    assert method() == method(command="env cp2k.psmp")
    assert method(mixing=0.3) != method()
    assert method()["arguments"] != method(rel_cutoff=61)["arguments"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"command": "mpirun_of_nobody -n 2 cp2k.psmp"}, r"no program 'mpirun_of_nobody'"),
        ({"command": "cp2k.psmp '"}, r"reference\.settings: command: .*No closing quot.*write"),
        ({"command": 4}, r"reference\.settings: command: 4 is no command"),
        ({"cp2k_input": [1]}, r"cp2k_input .*must be a mapping, and is \[1\]"),
        ({"kspacing": 0}, r"kspacing must be above 0, and is 0"),
        ({"cutoff": "400 Ry"}, r"cutoff must be above 0, and is '400 Ry'"),
    ],
)
def test_what_the_user_has_to_mend_is_said_before_any_label(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        engine(tmp_path, **settings)


def test_missing_data_are_said_before_any_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_CP2K_DATA_DIR", None)
    with pytest.raises(EngineError, match=r"PMG_CP2K_DATA_DIR.*pmg config --cp2k"):
        engine(tmp_path)


def test_electrons_that_do_not_converge_fail_the_label(tmp_path: Path) -> None:
    two_steps = {"FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 2}}}}
    with pytest.raises(LabelError, match="electrons did not converge"):
        engine(tmp_path, cp2k_input={"override_default_params": two_steps}).static(two_atoms())
    assert list(tmp_path.glob("job_*")), "what failed can be looked at"
