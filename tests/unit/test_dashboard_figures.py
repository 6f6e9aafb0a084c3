"""What figures and queries say, without a store or a browser."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.builders import rocksalt

from pyrite.config import SearchConfig
from pyrite.dashboard.figures import crystal as crystal_figures
from pyrite.dashboard.figures import learning as learning_figures
from pyrite.dashboard.figures import loop as loop_figures
from pyrite.dashboard.figures import pool as pool_figures
from pyrite.dashboard.figures import style
from pyrite.dashboard.figures.costs import ledger, time_unit
from pyrite.dashboard.figures.workflow import workflow
from pyrite.dashboard.queries.costs import KINDS, Costs
from pyrite.dashboard.queries.fireworks import STATES, Flow, Task, remedy
from pyrite.dashboard.queries.learning import Compared, Errors, Parity
from pyrite.dashboard.queries.loop import Cycle, Loop
from pyrite.dashboard.queries.memory import Memory
from pyrite.dashboard.queries.overview import Summary, duration
from pyrite.dashboard.queries.pool import REST, Outcomes, Pool, components, in_clusters
from pyrite.dashboard.queries.structures import Pattern, pattern, symmetry
from pyrite.documents import Search, SearchState, StopReason
from pyrite.progress import Progress


def cycle(number: int, top: tuple[float, ...] = (-3.4, -3.3)) -> Cycle:
    return Cycle(
        number=number,
        top=top,
        settled=(True, False),
        reference=-3.35,
        agreeing=number,
        compared=2,
        converged=number == 2,
        reason=f"{number} of 2",
        picks=10,
        groups=30,
    )


def compared(error: float = 0.01, spread: float = 0.01, number: int = 60) -> Compared:
    rng = np.random.default_rng(0)
    reference = rng.uniform(-3.4, -3.0, number)
    return Compared(
        iteration=np.repeat([1.0, 2.0], number // 2),
        predicted=reference + rng.normal(0, error, number),
        reference=reference,
        spread=np.full(number, spread),
    )


def parity(number: int = 60) -> Parity:
    return Parity(compared(number=number), compared(number=24 * number), unpredicted=40)


def pool(number: int = 40, **changes: object) -> Pool:
    rng = np.random.default_rng(0)
    fields: dict[str, object] = {
        "iteration": 1,
        "ids": tuple(f"c{index:05d}" for index in range(number)),
        "stop": (StopReason.CONVERGED,) * number,
        "energy": np.linspace(-3.4, -3.0, number),
        "volume": rng.uniform(20, 30, number),
        "energy_before": np.full(number, np.nan),
        "volume_before": np.full(number, np.nan),
        "descriptor": rng.random((number, 5)),
        "cluster": np.array([0] * 5 + [REST] * (number - 5)),
        "selected": np.arange(number) < 3,
        "labelled": np.arange(number) > number - 3,
        "top": (-3.4,),
        "broken": 2,
        "relaxed": number + 2,
        "everything": True,
    }
    return Pool(**{**fields, **changes})


def task(kind: str, iteration: int, state: str, fw_id: int = 1, **times: float) -> Task:
    return Task(fw_id, f"{kind} s {iteration}", kind, iteration, state, **times)


def names(figure: object) -> set[str]:
    return {trace.name for trace in figure.data if trace.name}


def test_every_axis_has_a_title_and_every_quantity_a_unit() -> None:
    spent = Costs({kind: {0: 4000.0} for kind in KINDS}, {0: 9}, {0: 9}, {0: 1}, ())
    errors = (Errors(0, 0, 40, 0.02, 0.2, 0.002),)
    drawn = {
        "eV/atom": loop_figures.energies(Loop((cycle(0),), ((0, -3.4),), None, 2)),
        "%": loop_figures.outcomes([Outcomes(0, dict.fromkeys(StopReason, 1))]),
        "(h)": ledger(spent),
        "meV/Å³": learning_figures.curves(errors),
        "eV/Å": learning_figures.parity_force(parity()),
        "meV/atom": learning_figures.calibration_energy(parity()),
        "meV/Å": learning_figures.calibration_force(parity()),
        "Å³/atom": pool_figures.energy_volume(pool()),
        "of variance": pool_figures.descriptor_map(pool()),
        "degrees": crystal_figures.powder(Pattern((30.0,), (100.0,), ("111",))),
    }
    for unit, figure in drawn.items():
        layout = json.loads(figure.to_json())["layout"]
        titles = [layout[key]["title"].get("text") for key in layout if "axis" in key]
        assert all(titles) or figure.layout.xaxis3.title.text, titles
        assert any(unit in (title or "") for title in titles), titles


def test_a_figure_without_data_says_so() -> None:
    nothing = Costs({kind: {} for kind in KINDS}, {}, {}, {}, ())
    figures = [
        loop_figures.energies(Loop((), (), None, 3)),
        loop_figures.agreement(Loop((), (), None, 3)),
        loop_figures.outcomes([]),
        loop_figures.labels(nothing),
        ledger(nothing),
        learning_figures.curves(()),
        learning_figures.parity_energy(parity(number=0)),
        learning_figures.parity_force(parity(number=0)),
        learning_figures.calibration_energy(parity(number=0)),
        learning_figures.calibration_force(parity(number=0)),
        workflow(Flow()),
    ]
    for figure in figures:
        assert len(figure.data) == 0
        assert figure.layout.annotations[0].text.endswith(".")


def test_energies_tell_networks_from_the_reference() -> None:
    figure = loop_figures.energies(Loop((cycle(0), cycle(1)), ((1, -3.41),), "convergence", 2))
    assert names(figure) == {
        "lowest, by the networks",
        "other top clusters, uncertain",
        "lowest label",
        "relaxed by the reference",
    }


def test_outcomes_add_up_to_the_pool() -> None:
    counts = dict.fromkeys(StopReason, 0) | {
        StopReason.CONVERGED: 30,
        StopReason.EXPLODED: 5,
        StopReason.COLLAPSED: 15,
    }
    figure = loop_figures.outcomes([Outcomes(0, counts)])
    assert {trace.name: trace.y[0] for trace in figure.data} == {"converged": 60, "broken": 40}


def test_the_ledger_takes_a_unit_that_suits() -> None:
    assert time_unit(100) == ("s", 1.0)
    assert time_unit(600) == ("min", 60.0)
    assert time_unit(9000) == ("h", 3600.0)
    assert [duration(x) for x in (5, 600, 5400, 3e5)] == ["5 s", "10.0 min", "1.5 h", "3.5 d"]


@pytest.mark.parametrize(("spread", "share"), [(0.01, 0.68), (0.001, 0.08), (0.1, 1.0)])
def test_coverage_tells_modest_networks_from_proud_ones(spread: float, share: float) -> None:
    assert compared(0.01, spread, 2000).covered(1) == pytest.approx(share, abs=0.03)


def test_figures_but_crystals_are_drawn_by_the_basic_plotly() -> None:
    """It knows bars and lines; a trace that it does not know leaves its figure blank."""
    spent = Costs({kind: {0: 4000.0} for kind in KINDS}, {0: 9}, {0: 9}, {0: 1}, ())
    figures = [
        pool_figures.energy_volume(pool(3000)),
        pool_figures.descriptor_map(pool(3000)),
        learning_figures.curves((Errors(0, 0, 40, 0.02, 0.2, 0.002),)),
        learning_figures.parity_force(parity()),
        learning_figures.calibration_force(parity()),
        loop_figures.energies(Loop((cycle(0),), ((0, -3.4),), None, 2)),
        loop_figures.agreement(Loop((cycle(0),), (), None, 2)),
        loop_figures.outcomes([Outcomes(0, dict.fromkeys(StopReason, 1))]),
        loop_figures.labels(spent),
        ledger(spent),
        workflow(Flow((task("relax", 0, "COMPLETED"),))),
    ]
    assert {trace.type for one in figures for trace in one.data} == {"scatter", "bar"}


def test_many_components_of_forces_are_thinned_but_counted_in_full() -> None:
    many = parity(number=1000)
    figure = learning_figures.parity_force(many)
    assert len(figure.data[1].x) == 800
    told = np.sqrt((many.force.errors**2).mean())
    assert f"RMSE {1000 * told:.1f} meV/Å" in figure.layout.annotations[0].text


def test_clusters_keep_their_look_before_and_after() -> None:
    """Open before, filled after; and no two of ten look alike."""
    number = 40
    ten = np.array([*range(10), *([REST] * (number - 10))])
    top = tuple(-3.4 + 0.01 * k for k in range(10))
    energies = np.linspace(-3.3, -2.9, number)
    changes = {
        "cluster": ten,
        "top": top,
        "energy_before": energies,
        "volume_before": energies + 30,
    }
    figure = pool_figures.energy_volume(pool(number, **changes))
    looks = [(one.marker.color, one.marker.symbol) for one in figure.data]
    begun, after = looks[:11], looks[11:]
    assert [(c, s.removesuffix("-open")) for c, s in begun[1:]] == after[1:]
    assert len(set(after)) == 11
    assert [one.name for one in figure.data if one.showlegend] == [
        "before",
        "others",
        *(f"#{k}" for k in range(1, 11)),
    ]


def test_the_map_marks_what_is_labelled() -> None:
    figure = pool_figures.descriptor_map(pool())
    assert names(figure) == {"others", "#1", "labelled", "labelled next"}
    assert {trace.name: len(trace.x) for trace in figure.data}["labelled next"] == 3


def test_components_are_those_of_largest_variance() -> None:
    rng = np.random.default_rng(1)
    direction = rng.normal(size=6)
    points = rng.normal(size=(200, 1)) * direction + 0.01 * rng.normal(size=(200, 6))
    flat, shares = components(points)
    assert flat.shape == (200, 2)
    assert shares[0] > 0.99
    again, _ = components(points[::-1])
    assert np.allclose(again[::-1], flat)


def test_candidates_know_their_cluster() -> None:
    found = in_clusters(["c0", "c1", "c2", "c3"], [["c2", "c9"], ["c0"]])
    assert found.tolist() == [1, REST, 0, REST]


def test_a_crowded_cell_of_the_workflow_loses_no_failure() -> None:
    tasks = [task("relax", 0, "COMPLETED", n) for n in range(500)]
    figure = workflow(Flow((*tasks, task("relax", 0, "FIZZLED", 501))))
    squares = {trace.name: len(trace.x) for trace in figure.data if trace.name}
    assert squares == {"completed": 12, "fizzled": 1}
    assert "501" in [text for trace in figure.data for text in (trace.text or ())]
    assert set(STATES) == set(style.STATES)


def test_energies_of_larger_cells_are_not_joined_to_those_of_small_ones() -> None:
    cycles = [replace(cycle(k), larger_cells=k > 1) for k in range(4)]
    figure = loop_figures.energies(Loop(tuple(cycles), (), None, 2))
    (line,) = [one for one in figure.data if one.mode == "lines+markers"]
    assert line.x == (0, 1, None, 2, 3)
    assert line.y == (-3.4, -3.4, None, -3.4, -3.4)
    assert [one.text for one in figure.layout.annotations] == ["larger cells"]
    small = loop_figures.energies(Loop(tuple(cycles[:2]), (), None, 2))
    assert not small.layout.annotations


def test_the_pace_is_the_median_of_the_last_iterations() -> None:
    tasks = [task("generate", 0, "COMPLETED", 1, started=0.0, ended=10.0)]
    tasks += [
        task("converge", k, "COMPLETED", k + 2, started=end - 1, ended=end)
        for k, end in enumerate((1000.0, 1100.0, 1300.0, 1450.0))
    ]
    assert Flow(tuple(tasks)).pace() == 150.0
    assert Flow(tuple(tasks[:1])).pace() is None


def test_the_latest_end_counts_the_iterations_that_are_left() -> None:
    config = SearchConfig.model_validate(
        {"composition": "NaCl", "name": "s", "convergence": {"max_iterations": 10}}
    )
    search = Search(search_id="s", config=config, state=SearchState.RUNNING, created=0.0)
    progress = Progress(
        SearchState.RUNNING, 9, 9, 1, 0, 0, 0, (), 0, 0, 0, 0, -3.4, ((1, 3), (2, 3)), ""
    )
    tasks = (
        task("generate", 0, "COMPLETED", 1, started=0.0, ended=1.0),
        task("converge", 0, "COMPLETED", 2, started=99.0, ended=100.0),
        task("converge", 1, "COMPLETED", 3, started=199.0, ended=200.0),
        task("label", 2, "RUNNING", 4),
    )
    summary = Summary(search, progress, Flow(tasks), -3.4, ranked=False)
    assert summary.latest_end(now=1000.0) == 1000.0 + 8 * 100.0
    larger = Summary(search, replace(progress, candidates=30), Flow(tasks), -3.4, ranked=False)
    assert larger.latest_end() is None, "larger cells are still to come"
    confirmed = (task("validate", 1, "COMPLETED", 6), task("rank", 1, "COMPLETED", 7))
    went_on = Summary(search, progress, Flow((*tasks, *confirmed)), -3.4, ranked=False)
    assert went_on.latest_end(now=1000.0) == 1000.0 + 8 * 100.0
    last = Flow((*tasks, task("validate", 2, "READY", 6)))
    assert Summary(search, progress, last, -3.4, ranked=False).latest_end() is None
    failed = Flow((*tasks, task("train", 2, "FIZZLED", 5)))
    stuck = Summary(search, progress, failed, -3.4, ranked=False)
    assert stuck.state == "failed"
    assert stuck.latest_end() is None


@pytest.mark.parametrize(
    ("trace", "recorded", "told"),
    [
        ("pyrite.errors.EngineError: no VASP", None, "no VASP"),
        ("pyrite.errors.EngineError: no VASP", "no VASP here", "no VASP here"),
        ("MemoryError", None, "MemoryError This is not an error that Pyrite expects"),
        ("", None, "It left no reason."),
    ],
)
def test_a_remedy_is_what_was_said_on_purpose(trace: str, recorded: str | None, told: str) -> None:
    assert remedy(trace, recorded).startswith(told)


def test_rocksalt_has_its_symmetry_and_its_lines() -> None:
    assert symmetry(rocksalt(), 0.1) == ("Fm-3m", 225)
    found = pattern(rocksalt(), 0.1)
    strongest = found.indices[int(np.argmax(found.intensities))]
    assert strongest == "200"
    assert {"111", "220", "222"} <= set(found.indices)


def test_a_crystal_is_drawn_in_right_sizes_with_its_faces_outward() -> None:
    figure = crystal_figures.structure(rocksalt())
    meshes = {trace.name: trace for trace in figure.data if trace.type == "mesh3d"}
    assert set(meshes) == {"Na", "Cl", "bonds"}
    points, faces = crystal_figures._sphere()
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    assert len(faces) == 20 * 16
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * corners.mean(axis=1)).sum(axis=1) > 0).all()


def test_memory_asks_again_when_the_stamp_changes() -> None:
    memory, asked = Memory(capacity=2), list[int]()

    def make() -> int:
        asked.append(1)
        return len(asked)

    assert [memory.recall("a", stamp, make) for stamp in (1, 1, 2)] == [1, 1, 2]
    memory.recall("b", 1, make)
    memory.recall("c", 1, make)
    assert memory.recall("a", 2, make) == 5
