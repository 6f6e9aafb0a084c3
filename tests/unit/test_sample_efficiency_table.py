"""The table and the curves say what the rows say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta
from scipy.stats import t as student
from tests.unit.builders import caesium_chloride, rocksalt

from benchmarks import sample_efficiency_table as table
from benchmarks.efficiency_rows import with_row
from benchmarks.minima import columns, numbered, packed, unpacked
from benchmarks.random_search import at_least, plausible, plausible_of_few
from benchmarks.sample_efficiency_plots import Curve, draw, of_relaxations, of_search, spread

ABOUT: dict[str, Any] = {"system": "na4cl4", "reference": "fake"}


def relaxed(*calls: int, hits: int) -> dict[str, Any]:
    """The last ``hits`` of some relaxations succeed."""
    success = [k >= len(calls) - hits for k in range(len(calls))]
    above = [0.0 if one else 0.1 * k for k, one in enumerate(success, start=1)]
    minimum = [len(calls) if one else k for k, one in enumerate(success)]
    return {
        "calls": list(calls),
        "success": success,
        "energy_above_ground_ev_per_atom": above,
        "minimum": minimum,
    }


def pyrite(seed: int, first: int | None, total: int, converged: bool = True) -> dict[str, Any]:
    minima = [
        {"energy_above_ground_ev_per_atom": 0.05, "space_group": 194},
        {"energy_above_ground_ev_per_atom": 0.0, "space_group": 225},
    ]
    return ABOUT | {
        "method": "pyrite",
        "recipe": "fast",
        "seed": seed,
        "found": first is not None,
        "reference_calls_first_found": first,
        "reference_calls_known": None if first is None else first + 10,
        "reference_calls_converged": total if converged else None,
        "reference_calls": total,
        "seconds": 60.0 * total,
        "ground_state_ev_per_atom": -3.0,
        "lowest_ev_per_atom": -3.0,
        "curve": [
            {"reference_calls": 10, "lowest_label_ev_per_atom": -2.5},
            {"reference_calls": 20, "lowest_label_ev_per_atom": -2.8},
        ],
        "minima": [one | {"reference_calls_at_least": total - 5} for one in minima],
    }


def random(seed: int, **generators: dict[str, Any]) -> dict[str, Any]:
    runs = {name: {"relaxed": one} for name, one in generators.items()}
    return ABOUT | {"method": "random", "recipe": "pool", "seed": seed, "generators": runs}


def cryspy(method: str, seed: int, first: int | None, of: dict[str, Any]) -> dict[str, Any]:
    row = {"method": method, "recipe": "free", "seed": seed, "found": first is not None}
    row |= {"reference_calls_first_found": first, "reference_calls": sum(of["calls"])}
    return ABOUT | row | {"relaxed": of}


ROWS = [
    pyrite(1, 20, 60),
    pyrite(2, 30, 80),
    pyrite(3, None, 70, converged=False),
    random(1, p1=relaxed(100, 100, hits=1), symmetric=relaxed(100, 100, hits=0)),
    random(2, p1=relaxed(100, 100, hits=0), symmetric=relaxed(90, 90, hits=1)),
    random(3, p1=relaxed(100, 100, hits=1), symmetric=relaxed(90, 90, hits=0)),
    cryspy("cryspy-rs", 1, 150, relaxed(50, 100, hits=1)),
    cryspy("cryspy-rs", 2, None, relaxed(50, 100, hits=0)),
    cryspy("cryspy-ea", 1, None, relaxed(50, 100, hits=0)),
]


def cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    lines = table.section(rows).split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_line_for_each_method_and_recipe() -> None:
    search, pool, rs, ea = cells(ROWS)
    assert search[:3] == ["Na4Cl4, fake", "Pyrite (fast)", "2 of 3"]
    assert search[3:6] == ["25 (20 to 30)", "35 (30 to 40)", "70 (60 to 80)"]
    # 20 + 30 + 70 calls of three searches for two successes.
    assert search[6].startswith("60 (")
    assert pool[1:3] == ["random search (p1)", "2 of 6 relaxations"]
    assert pool[6].startswith("300 (")
    assert search[7].startswith("5.0 times (")
    # 30 + 40 + 70.
    assert search[8].startswith("4.3 times (")
    # 60 + 80 + 70 calls for two successes.
    assert search[9].startswith("2.9 times (")
    assert search[10] == "70 (60 to 80)"
    assert rs[1:3] == ["CrySPY, random search (free)", "1 of 2"]
    assert rs[6].startswith("300 (")
    assert ea[2:] == ["0 of 1", "–", "–", "–", "above 158", "–", "–", "–", "–"]
    assert pool[8:] == rs[8:] == ["–", "–", "–"]


def test_intervals_hold_the_value_and_grow_with_doubt() -> None:
    search = cells(ROWS)[0]
    low, high = search[7].removesuffix(")").split("(")[1].split(" to ")
    assert float(low) < 5.0 < float(high) < np.inf
    searches = [pyrite(seed, 20, 60) for seed in range(50)]
    many = [random(1, p1=relaxed(*[100] * 300, hits=100), symmetric=relaxed(90, hits=0))]
    low, high = cells([*searches, *many])[0][7].removesuffix(")").split("(")[1].split(" to ")
    assert 12 < float(low) < 15 < float(high) < 19


@pytest.mark.parametrize(("successes", "of"), [(1, 100), (9, 24)])
def test_few_successes_leave_much_open(successes: int, of: int) -> None:
    hits = np.arange(of) < successes
    costs = plausible(np.full(of, 100.0), hits.astype(float), 1, "test")
    shares = beta(successes + 0.5, of - successes + 0.5).ppf([0.975, 0.025])
    np.testing.assert_allclose(np.quantile(costs, [0.025, 0.975]), 100 / shares, rtol=0.15)


def test_three_searches_tell_their_cost_as_students_t_does() -> None:
    calls, whole, sure = np.array([50.0, 100, 200]), np.full(3, 1000.0), np.ones(1000)
    costs = plausible_of_few(calls, whole, sure[:3], 1, "test")
    # Tries until one succeeds; each before it takes a whole search.
    rng = np.random.default_rng(1)
    failures = rng.geometric(beta(3.5, 0.5).rvs(4000, random_state=rng), (500, 4000)).mean(0) - 1
    error = np.log(2) / np.sqrt(3)  # the logarithms are as far apart as 1, 2, 3 are
    ratios = np.exp(error * student(2).rvs(4000, random_state=rng))
    expected = np.quantile((calls.mean() + 1000 * failures) * ratios, [0.025, 0.5, 0.975])
    np.testing.assert_allclose(np.quantile(costs, [0.025, 0.5, 0.975]), expected, rtol=0.15)
    many = plausible_of_few(np.full(1000, 100.0), np.full(1000, 300.0), sure, 1, "test")
    np.testing.assert_allclose(np.quantile(many, [0.025, 0.975]), 100, rtol=0.01)


def test_the_rows_have_the_same_intervals_as_the_table() -> None:
    row = ABOUT | {"method": "cryspy-ea", "recipe": "free", "found": True}
    document: dict[str, Any] = {}
    for seed, calls in enumerate((50, 100, 200)):
        spent = {"reference_calls_first_found": calls, "reference_calls": calls}
        document = with_row(row | {"seed": seed} | spent, document)
    low, high = document["rows"][0]["expected_reference_calls_95"]
    assert cells(document["rows"])[0][6] == f"117 ({low} to {high})"


def test_what_never_succeeded_would_have_with_a_larger_share() -> None:
    for n in (1, 3, 60):
        share = 150 / at_least(np.full(n, 150.0))
        assert (1 - share) ** n == pytest.approx(0.05)


def test_one_seed_has_no_interval() -> None:
    [search] = cells([pyrite(1, 20, 60)])
    assert search[2:] == ["1 of 1", "20", "30", "60", "20", "–", "–", "–", "60"]


def test_without_a_success_of_random_search_the_ratio_is_a_bound() -> None:
    none = random(1, p1=relaxed(100, 200, hits=0), symmetric=relaxed(100, 200, hits=0))
    pool = cells([pyrite(1, 20, 60), none])[1]
    assert pool[6] == "above 193"  # two of them fail in one case of twenty if 78 % succeed
    search = cells([*(pyrite(seed, 20, 60) for seed in range(1000)), none])[0]
    assert (search[7], search[8]) == ("above 9.6 times", "above 6.4 times")  # known after 30


def test_a_bound_and_one_search_are_no_ratio() -> None:
    none = random(1, p1=relaxed(100, 200, hits=0), symmetric=relaxed(100, 200, hits=0))
    assert cells([pyrite(1, 20, 60), none])[0][7] == "–"
    some = random(1, p1=relaxed(100, 200, hits=1))
    assert cells([pyrite(1, 20, 60), some])[0][7] == "15.0 times"


def test_one_random_search_of_cryspys_has_the_interval_of_its_relaxations() -> None:
    rs = next(row for row in ROWS if row["method"] == "cryspy-rs" and row["found"])
    some = random(1, p1=relaxed(100, 200, hits=1))
    interval = cells([rs, some])[1][7].partition("(")[2]
    assert interval
    assert "∞" not in interval


def test_minima_are_listed_with_their_costs() -> None:
    lines = table.section(ROWS).split("\n\n")[1].splitlines()[2:]
    assert lines[0] == "| Na4Cl4, fake | Pyrite (fast) | 1 | 225 (+0, 55); 194 (+50, 55) |"
    assert len(lines) == 3


def test_one_crystal_is_one_minimum() -> None:
    def row(crystal: Any, energy: float, **changes: Any) -> dict[str, Any]:
        facts = {"calls": 1, "success": False, "converged": True, "crystal": packed(crystal)}
        return facts | {"energy_above_ground_ev_per_atom": energy} | changes

    rows = [
        row(caesium_chloride(), 0.1),
        row(rocksalt(), 0.0),
        row(caesium_chloride(3.51), 0.102),
        row(rocksalt(), 0.0, converged=False),
        row(rocksalt(), 0.31),
        {"calls": 1, "success": False, "error": "failed"},
        row(rocksalt(), 0.006),
    ]
    assert numbered(rows) == [0, 1, 0, None, None, None, 2]
    hole = row(rocksalt(), -0.11)
    assert numbered([hole, *rows]) == [None, *(numbered(rows) or ())]
    assert columns(rows)["minimum"] == numbered(rows)
    del rows[1]["crystal"]
    assert numbered(rows) is None
    assert np.allclose(unpacked(packed(rocksalt())).positions, rocksalt().positions, atol=1e-4)


def test_curves_are_staircases() -> None:
    energy, minima, earliest = of_search(pyrite(1, 20, 60))
    grid = np.array([5.0, 10.0, 19.0, 20.0, 60.0, 1000.0])
    expected = [np.nan, 500.0, 500.0, 200.0, 0.0, 0.0]
    np.testing.assert_allclose(energy.at(grid), expected, atol=1e-9)
    assert minima is not None
    assert earliest is not None
    grid = np.array([10.0, 54.0, 55.0, 59.0, 60.0])
    np.testing.assert_array_equal(minima.at(grid), [0, 0, 0, 0, 2])
    np.testing.assert_array_equal(earliest.at(grid), [0, 0, 2, 2, 2])

    order = [1, 0, 2]
    one = relaxed(10, 20, 30, hits=1) | {"minimum": [0, None, 1]}
    energy, minima, _ = of_relaxations(one, order, None)
    grid = np.array([19.0, 20.0, 30.0, 60.0, 61.0])
    np.testing.assert_allclose(energy.at(grid), [np.nan, 200, 100, 0, np.nan])
    assert minima is not None
    np.testing.assert_array_equal(minima.at(grid), [np.nan, 0, 1, 2, np.nan])
    assert of_relaxations(one | {"minimum": None}, order, None).minima is None


def test_spreads() -> None:
    grid = np.array([1.0, 2.0])
    curves = [Curve(np.array([float(k > 5) + 1]), np.array([float(k)]), np.inf) for k in range(11)]
    low, mid, high = spread(curves[:4], grid, mean=False)
    assert (low[0], mid[0], high[0]) == (0, 1.5, 3)
    low, mid, high = spread(curves, grid, mean=True)
    assert np.isnan([low[0], mid[0], high[0]]).all()
    assert (low[1], mid[1], high[1]) == (1, 5, 9)


def test_a_figure_is_the_same_each_time(tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        draw(ROWS, "fake", "na4cl4", tmp_path / "plot.svg", "p1")
        texts.append((tmp_path / "plot.svg").read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert "pyrite (fast)" in texts[0]
    assert len(texts[0]) < 150_000
