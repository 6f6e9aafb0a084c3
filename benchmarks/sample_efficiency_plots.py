"""Best energy and discovered minima against reference calls, a figure for each system."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.efficiency_rows import CONTENTS
from benchmarks.random_search import Vector
from pyrite.models.seeds import stream

Row = dict[str, Any]
SHUFFLES = 200
POINTS = 150
FLOOR = 1.0  # meV/atom: nothing below is told apart
COLOURS = {
    ("pyrite", "fast"): "#c22",
    ("pyrite", "paper"): "#e90",
    ("random", "pool"): "#666",
    ("cryspy-rs", "free"): "#39d",
    ("cryspy-rs", "authors"): "#137",
    ("cryspy-ea", "free"): "#5b5",
    ("cryspy-ea", "authors"): "#162",
}
STYLE: dict[Any, Any] = {"svg.hashsalt": "pyrite", "svg.fonttype": "none", "font.size": 9}


class Curve(NamedTuple):
    """A staircase: from ``calls[i]`` on the value is ``values[i]``; both of shape (N,)."""

    calls: Vector
    values: Vector
    end: float  # calls until which it is known

    def at(self, grid: Vector) -> Vector:
        """Values on a grid, NaN before the first and after the end."""
        index = np.searchsorted(self.calls, grid, side="right") - 1
        known = (index >= 0) & (grid <= self.end)
        return np.where(known, self.values[np.maximum(index, 0)], np.nan)


class Curves(NamedTuple):
    """Of one run: lowest energy above the ground state in meV/atom, and number of minima; of a
    search that learns also when they were there at the earliest."""

    energy: Curve
    minima: Curve | None
    earliest: Curve | None = None


def of_search(row: Row) -> Curves:
    """A Pyrite search; it stays where it ended, and only there its minima are sure."""
    points = [(one["reference_calls"], one["lowest_label_ev_per_atom"]) for one in row["curve"]]
    if "lowest_ev_per_atom" in row:
        points.append((row["reference_calls"], row["lowest_ev_per_atom"]))
    calls, energies = np.array(points, dtype=float).T
    above = 1000 * (np.minimum.accumulate(energies) - row["ground_state_ev_per_atom"])
    found = sorted(float(one["reference_calls_at_least"]) for one in row["minima"])
    counts = np.arange(len(found) + 1.0)
    every = float(row["reference_calls"])
    return Curves(
        Curve(calls, above, np.inf),
        Curve(np.array([calls[0], every]), counts[[0, -1]], np.inf),
        Curve(np.array([calls[0], *found]), counts, np.inf),
    )


def of_relaxations(relaxed: dict[str, Any], order: Sequence[int], end: float | None) -> Curves:
    """Relaxations in an order; ``end`` is that of the last one if it is None."""
    calls = np.cumsum(np.array(relaxed["calls"], dtype=float)[order])
    energies = [relaxed["energy_above_ground_ev_per_atom"][k] for k in order]
    above = np.array([np.inf if x is None else 1000 * x for x in energies])
    last = float(calls[-1]) if end is None else end
    energy = Curve(calls, np.minimum.accumulate(above), last)
    if relaxed["minimum"] is None:
        return Curves(energy, None)
    seen: set[int] = set()
    counts = []
    for k in order:
        seen |= {relaxed["minimum"][k]} - {None}
        counts.append(float(len(seen)))
    return Curves(energy, Curve(calls, np.array(counts), last))


def runs(rows: Sequence[Row], generator: str | None) -> Iterator[Curves]:
    """The curves of a method: of each seed, or of random search's shuffles."""
    for row in rows:
        if row["method"] == "pyrite":
            yield of_search(row)
        elif row["method"] == "random":
            relaxed = row["generators"][generator]["relaxed"]
            rng = stream(row["seed"], "shuffles")
            for _ in range(max(SHUFFLES // len(rows), 1)):
                yield of_relaxations(relaxed, rng.permutation(len(relaxed["calls"])).tolist(), None)
        else:
            relaxed = row["relaxed"]
            yield of_relaxations(relaxed, range(len(relaxed["calls"])), np.inf)


def spread(curves: Sequence[Curve], grid: Vector, mean: bool) -> tuple[Vector, Vector, Vector]:
    """Lower, middle and upper value on a grid, NaN where one of the curves is unknown.

    Parameters
    ----------
    mean : bool
        Mean with the 10 % and 90 % quantiles, instead of the median with the range.
    """
    values = np.array([curve.at(grid) for curve in curves])
    values[~np.isfinite(values)] = np.nan
    if mean:
        low, high = np.quantile(values, [0.1, 0.9], axis=0)
        return low, values.mean(axis=0), high
    return values.min(axis=0), np.median(values, axis=0), values.max(axis=0)


def _plot(axes: Axes, curves: Sequence[Curve], grid: Vector, mean: bool, **style: str) -> None:
    low, mid, high = spread(curves, grid, mean)
    axes.plot(grid, mid, drawstyle="steps-post", color=style["color"], label=style["label"])
    axes.fill_between(grid, low, high, step="post", color=style["color"], alpha=0.2, lw=0)


def draw(
    rows: Sequence[Row], reference: str, system: str, path: Path, generator: str | None
) -> None:
    """Write the figure of one reference and system.

    Parameters
    ----------
    generator : random search's, where there is any
    """
    mine = [row for row in rows if (row["system"], row["reference"]) == (system, reference)]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (method, recipe), colour in COLOURS.items():
            chosen = [row for row in mine if (row["method"], row["recipe"]) == (method, recipe)]
            if not chosen:
                continue
            curves = list(runs(chosen, generator))
            longest = max(float(curve.energy.calls[-1]) for curve in curves)
            grid = np.geomspace(1, 1.05 * longest, POINTS)
            style = {"color": colour, "label": f"{method} ({recipe})"}
            mean = method == "random"
            energies = [
                one.energy._replace(values=np.maximum(one.energy.values, FLOOR)) for one in curves
            ]
            _plot(left, energies, grid, mean, **style)
            counted = [one.minima for one in curves if one.minima is not None]
            if len(counted) == len(curves):
                _plot(right, counted, grid, mean, **style)
            earliest = [one.earliest for one in curves if one.earliest is not None]
            if earliest:
                middle = spread(earliest, grid, mean)[1]
                right.plot(grid, middle, drawstyle="steps-post", color=colour, ls=":")
        left.set(
            xscale="log", yscale="log", ylabel="lowest energy above the ground state (meV/atom)"
        )
        right.set(xscale="log", ylabel="distinct minima within 0.3 eV/atom")
        for axes in (left, right):
            axes.set_xlabel("reference calls")
        left.legend(fontsize=7)
        figure.suptitle(f"{CONTENTS[system]}, {reference}")
        figure.savefig(path, metadata={"Date": None})
