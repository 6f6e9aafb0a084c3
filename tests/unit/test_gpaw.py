"""Real density-functional theory through GPAW, in the smallest cells there are."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.builders import crystal
from tests.unit.gpaw_silicon import COARSE, engine, needs_gpaw, needs_mpirun, silicon

from pyrite.errors import EngineError
from pyrite.machine import Keep, Machine
from pyrite.models.engines import check_engine, gpaw, gpaw_inputs
from pyrite.reference_config import GpawConfig, ReferenceConfig

# -- what is asked ---------------------------------------------------------------------


def test_the_mesh_follows_the_spacing_in_each_direction() -> None:
    cell = crystal((14,), [[0.0, 0.0, 0.0]], np.diag([2 * np.pi, 4 * np.pi, 1.0]))
    assert gpaw_inputs.mesh(GpawConfig(kspacing=0.5), cell) == [2, 1, 13]


def test_the_mesh_of_a_skewed_cell_counts_the_planes_not_the_edges() -> None:
    """|b_i| is one over the distance of lattice planes."""
    cell = crystal((14,), [[0.0, 0.0, 0.0]], [[5.0, 0, 0], [20.0, 5.0, 0], [0, 0, 5.0]])
    heights = 125.0 / np.array([np.hypot(20.0, 5.0) * 5.0, 25.0, 25.0])
    expected = [int(np.ceil(2 * np.pi / height / 0.3)) for height in heights[[0, 1, 2]]]
    assert gpaw_inputs.mesh(GpawConfig(kspacing=0.3), cell) == expected


def test_every_mesh_is_shifted_off_gamma() -> None:
    """One with Γ is much coarser than its neighbours: 40 meV/atom between cells of silicon."""
    for a in (5.3, 5.6):
        asked = gpaw_inputs.parameters(GpawConfig(kspacing=0.5), silicon(a))
        assert asked["kpts"]["gamma"] is False
    assert gpaw_inputs.measured(GpawConfig(), silicon())["kpts"] == {"gamma": False}


def test_the_hardest_element_decides_the_cutoff() -> None:
    def of(*numbers: int) -> float:
        places = [[k, 0.0, 0.0] for k in range(len(numbers))]
        return gpaw_inputs.cutoff(GpawConfig(), crystal(numbers, places, np.eye(3) * 9))

    assert of(14, 14) < of(8, 14) == of(8)
    assert gpaw_inputs.cutoff(GpawConfig(cutoff=321), silicon()) == 321


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kpts", "use reference.gpaw.kspacing"),
        ("txt", "is set by the task; leave it out"),
        ("object_hooks", "is set by the task; leave it out"),
        ("background_charge", "is not for crystals in a search; leave it out"),
    ],
)
def test_parameters_of_the_task_are_refused(name: str, message: str) -> None:
    with pytest.raises(EngineError, match=f"reference.gpaw.parameters: {name}.*{message}"):
        gpaw_inputs.check_parameters({name: 1})


def test_without_gpaw_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match=r"libxc-dev.*pip install \"pyrite-csp\[gpaw\]\""):
        check_engine(ReferenceConfig(engine="gpaw"))


def test_a_launcher_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match=r"PYRITE_GPAW_LAUNCHER.*'mpirun_of_nobody'"):
        gpaw.require_launcher(Machine(gpaw_launcher="mpirun_of_nobody -n 4"))


def test_a_launcher_that_is_no_command_is_refused() -> None:
    with pytest.raises(EngineError, match=r"PYRITE_GPAW_LAUNCHER: .*No closing quot.*mpirun -n 4"):
        gpaw.require_launcher(Machine(gpaw_launcher="mpirun -n '4"))


@needs_gpaw
def test_settings_of_makers_are_refused() -> None:
    with pytest.raises(EngineError, match=r"reference.gpaw.parameters"):
        check_engine(ReferenceConfig(engine="gpaw", settings={"steps": 3}))


# -- what is answered ------------------------------------------------------------------


@needs_gpaw
def test_forces_and_stress_are_derivatives_of_the_energy(tmp_path: Path) -> None:
    """Central differences, with so wide a smearing that it matters which energy is meant.

    The energy of a strained cell at one cutoff has another number of plane waves, hence the
    larger cutoff and the looser bound of the stress.
    """
    tight = {"energy_convergence": 1e-6, "density_convergence": 1e-6}
    calculate = engine(tmp_path, cutoff=500, width=1.0, **tight)
    asked = silicon()
    found = calculate.static(asked)
    positions, cell = np.array(asked.positions), np.array(asked.cell)

    def energy(moved: Any, strained: Any) -> float:
        return calculate.static(crystal(asked.numbers, moved, strained)).energy

    step = np.zeros((2, 3))
    step[1, 0] = 0.01
    slope = (energy(positions + step, cell) - energy(positions - step, cell)) / 0.02
    assert abs(found.forces[1, 0]) > 0.5
    assert -slope == pytest.approx(found.forces[1, 0], abs=5e-3)

    strain = np.array([[0.004, 0.0, 0.0], [0.0, 0.0, 0.003], [0.0, 0.003, 0.0]])
    up, down = np.eye(3) + strain, np.eye(3) - strain
    difference = energy(positions @ up, cell @ up) - energy(positions @ down, cell @ down)
    work = float((found.stress * strain).sum())
    assert difference / 2 / abs(np.linalg.det(cell)) == pytest.approx(work, abs=1e-5)
    assert abs(work) > 1e-4
    assert found.stress[0, 0] < -0.05, "a compressed crystal pushes: tension is positive"


@needs_gpaw
def test_atoms_keep_their_order(tmp_path: Path) -> None:
    cell = np.eye(3) * 3.2
    places = np.array([[0.1, 0.0, 0.0], [1.7, 1.6, 1.5]])
    one = engine(tmp_path).static(crystal((3, 9), places, cell))
    other = engine(tmp_path).static(crystal((9, 3), places[::-1], cell))
    assert other.energy == pytest.approx(one.energy, abs=1e-3)
    assert np.allclose(other.forces, one.forces[::-1], atol=5e-3)
    assert np.abs(one.forces).max() > 0.1


@needs_gpaw
def test_a_label_says_how_it_was_made(tmp_path: Path) -> None:
    found = engine(tmp_path, parameters={"charge": 0.0}).static(silicon())
    assert found.engine == "gpaw"
    assert found.settings["cutoff"] == 300
    assert found.settings["parameters"] == {"charge": 0.0}
    assert set(found.settings["setups"]) == {"Si"}
    assert found.details["kpoints"] == gpaw_inputs.mesh(GpawConfig(**COARSE), silicon())
    assert found.details["convergence"] == {"energy": 1e-4, "density": 1e-4}
    assert found.calls == 1
    assert found.scf_cycles is not None
    assert found.scf_cycles > 3
    assert list(tmp_path.iterdir()) == [], "what succeeded leaves nothing"


@needs_gpaw
def test_a_relaxation_reaches_the_minimum_and_counts_its_costs(tmp_path: Path) -> None:
    found = engine(tmp_path).relax(silicon(5.6), fmax=0.1, max_steps=40)
    assert found.converged
    assert 3 < found.calls < 40
    assert found.fmax <= 0.11
    assert np.abs(found.stress).max() < 0.02


@needs_gpaw
@needs_mpirun
def test_several_processes_give_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    alone = engine(tmp_path).static(silicon())
    machine = Machine(gpaw_launcher="mpirun --oversubscribe -n 2")
    both = engine(tmp_path, machine).static(silicon())
    assert both.details["processes"] == 2
    assert both.energy == pytest.approx(alone.energy, abs=1e-6)
    assert np.allclose(both.forces, alone.forces, atol=1e-4)
    assert np.allclose(both.stress, alone.stress, atol=1e-6)
    assert both.settings == alone.settings, "they can be learned from together"


# -- what goes wrong -------------------------------------------------------------------


@needs_gpaw
def test_electrons_that_do_not_converge_get_safer_settings(tmp_path: Path) -> None:
    found = engine(tmp_path, max_scf_cycles=3).static(silicon())
    assert found.details["corrections"] == ["the electrons did not converge: safer settings"]
    assert found.calls == 2
    assert found.energy == pytest.approx(engine(tmp_path).static(silicon()).energy, abs=1e-4)


@needs_gpaw
def test_safer_settings_mix_less_of_the_density(tmp_path: Path) -> None:
    kept = Machine(keep=Keep.ALL)
    engine(tmp_path, kept, max_scf_cycles=3).static(silicon())
    logs = [path.read_text() for path in sorted(tmp_path.glob("*/gpaw.txt"), key=_age)]
    assert ["pulay" in log.lower() for log in logs] == [False, True]
    assert re.search(r"beta\W+0\.02\b", logs[1])


def _age(path: Path) -> float:
    return path.stat().st_mtime


@needs_gpaw
def test_a_refused_parameter_ends_the_search_not_the_label(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"reference.gpaw: GPAW refuses.*mixxer"):
        engine(tmp_path, parameters={"mixxer": {}}).static(silicon())
    assert list(tmp_path.iterdir()) == []


@needs_gpaw
def test_setups_of_other_elements_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"setups names Fe, and the crystals consist of Si"):
        engine(tmp_path, parameters={"setups": {"Fe": ":d,4.0"}}).static(silicon())
    assert list(tmp_path.iterdir()) == []


@needs_gpaw
def test_a_relaxation_stops_before_the_walltime_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpaw, "seconds_left", lambda _: 0.1)
    first = engine(tmp_path).relax(silicon(5.6), fmax=0.1, max_steps=40)
    assert first.interrupted
    assert not first.converged
    assert first.calls == 1
    monkeypatch.undo()
    second = engine(tmp_path).relax(first.crystal, fmax=0.1, max_steps=2)
    assert (second.converged, second.interrupted) == (False, False)
    assert second.calls == 4, "the start, two steps and the last single point"
