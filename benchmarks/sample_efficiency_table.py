"""Searches beside random search and CrySPY in docs/benchmarks.md, of
results/sample_efficiency-*.json: tables and plots."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import stored
from benchmarks.efficiency_rows import CONTENTS, TRANSFERS, configuration, is_of
from benchmarks.random_search import (
    BOOTSTRAP,
    Vector,
    at_least,
    interval,
    plausible,
    plausible_of_few,
)
from benchmarks.sample_efficiency_plots import draw
from benchmarks.sections import BENCHMARKS, RESULTS, Section

SECTION = Section(BENCHMARKS, "sample efficiency")
EARLIER = "earlier settings"
HELD_OUT = "held out"
CHOSEN_WITH = (1, 2, 3)  # seeds that were known when the defaults were chosen
NAMES = {
    "pyrite": "Pyrite",
    "random": "random search",
    "cryspy-rs": "CrySPY, random search",
    "cryspy-ea": "CrySPY, evolution",
}
BLIND = ("random", "cryspy-rs")  # each relaxation is an attempt of its own
Row = dict[str, Any]
FIRST = "reference_calls_first_found"  # how far a search's calls are counted
KNOWN = "reference_calls_known"
ALL = "reference_calls"
HEADER = (
    "| system | method | found | calls until first found | until known | until converged | "
    "calls per success (95 %) | random search needs (95 %) | the same, until known | "
    "the same, of whole searches | minutes |\n|---|---|---|---|---|---|---|---|---|---|---|"
)
MINIMA_HEADER = (
    "| system | method | seed | space groups of the minima "
    "(meV/atom above the ground state, calls at least) |\n"
    "|---|---|---|---|"
)


class Group(NamedTuple):
    """Rows that differ in their seeds alone."""

    reference: str
    system: str
    method: str
    recipe: str
    rows: tuple[Row, ...]

    @property
    def generator(self) -> str | None:
        """Random search's cheaper one, all seeds together."""
        if self.method != "random":
            return None
        names: list[str] = list(self.rows[0]["generators"])
        return min(names, key=lambda name: self.cost(*self._pooled(name)))

    @property
    def name(self) -> str:
        """What the table calls the method."""
        return f"{NAMES[self.method]} ({self.generator or self.recipe})"

    def _pooled(self, generator: str | None) -> tuple[Vector, Vector]:
        runs = [row["generators"][generator] if generator else row for row in self.rows]
        columns = (
            [x for run in runs for x in run["relaxed"][name]] for name in ("calls", "success")
        )
        calls, hits = (np.array(one, dtype=float) for one in columns)
        return calls, hits

    @property
    def content(self) -> str:
        """What the table calls the system; 7net-0 is the reference where it names no other."""
        content = CONTENTS[self.system]
        return content if self.reference == "sevennet" else f"{content}, {self.reference}"

    def spent(self, until: str = FIRST) -> tuple[Vector, Vector]:
        """Calls and success of each relaxation, or of each search that learns from its own.

        Of searches all calls, where it was not noted how many there were ``until`` then.
        """
        if self.method in BLIND:
            return self._pooled(self.generator)
        calls = [row.get(until) or row[ALL] for row in self.rows]
        return np.array(calls, dtype=float), np.array([row["found"] for row in self.rows], float)

    @staticmethod
    def cost(calls: Vector, hits: Vector) -> float:
        """Calls per success."""
        return float(calls.sum() / hits.sum()) if hits.any() else float("inf")

    @property
    def repeated(self) -> bool:
        """Whether there is more than one attempt, so that their spread is known."""
        return len(self.spent()[0]) > 1

    def costs(self, until: str = FIRST, purpose: str = BOOTSTRAP) -> Vector:
        """The same in samples of what it might be, for another purpose independent ones."""
        calls, hits = self.spent(until)
        if self.method in BLIND:
            return plausible(calls, hits, 1, purpose)
        return plausible_of_few(calls, self.spent(ALL)[0], hits, 1, purpose)


def groups(rows: Iterable[Row]) -> list[Group]:
    """By reference, system, method and recipe."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        key = tuple(row[name] for name in ("reference", "system", "method", "recipe"))
        found.setdefault(key, []).append(row)
    order = list(NAMES)
    keys = sorted(found, key=lambda key: (key[0], key[1], order.index(key[2]), key[3]))
    return [Group(*key, tuple(found[key])) for key in keys]


def between(low: float, high: float, digits: int = 0) -> str:
    """An interval in words."""
    ends = (f"{x:.{digits}f}" if np.isfinite(x) else "∞" for x in (low, high))
    return " to ".join(ends)


def middle(values: Sequence[float]) -> str:
    """Median and range over seeds."""
    if not values:
        return "–"
    if min(values) == max(values):
        return f"{values[0]:.0f}"
    return f"{median(values):.0f} ({between(min(values), max(values))})"


def price(group: Group) -> str:
    """Calls per success; without any, above the limit that holds with 95 % confidence."""
    calls, hits = group.spent()
    if not hits.any():
        return f"above {at_least(calls):.0f}"
    if not group.repeated:
        return f"{group.cost(calls, hits):.0f}"
    return f"{group.cost(calls, hits):.0f} ({between(*interval(group.costs()))})"


def ratio(group: Group, random: Group | None, until: str = FIRST) -> str:
    """What random search needs in units of what the group needs."""
    own, theirs = group.spent(until), (None if random is None else random.spent())
    if random is None or theirs is None or random == group or not own[1].any():
        return "–"
    if not theirs[1].any():
        if not group.repeated:
            return "–"
        return f"above {at_least(theirs[0]) / interval(group.costs(until))[1]:.1f} times"
    middle, low, high = times(group, random, until)
    if not group.repeated:
        return f"{middle:.1f} times"
    return f"{middle:.1f} times ({between(low, high, 1)})"


def times(group: Group, random: Group, until: str) -> tuple[float, float, float]:
    """The same as numbers, with the ends of the interval, for two that have found it; of one
    attempt alone they are not known."""
    middle = random.cost(*random.spent()) / group.cost(*group.spent(until))
    if not group.repeated:
        return middle, float("nan"), float("nan")
    with np.errstate(divide="ignore"):
        return middle, *interval(random.costs() / group.costs(until, group.method))


def line(group: Group, random: Group | None) -> str:
    """One line of the table."""
    calls, hits = group.spent()
    unit = " relaxations" if group.method == "random" else ""
    found = f"{int(hits.sum())} of {len(calls)}{unit}"
    if group.method == "cryspy-rs":
        found = f"{sum(row['found'] for row in group.rows)} of {len(group.rows)}"
    columns = (
        [row[name] for row in group.rows if row.get(name) is not None]
        for name in (FIRST, KNOWN, "reference_calls_converged")
    )
    cells = [group.content, group.name, found, *map(middle, columns)]
    searches = group.method == "pyrite"
    minutes = [row["seconds"] / 60 for row in group.rows if searches]
    cells += [price(group), ratio(group, random)]
    noted = searches and all(row.get(KNOWN) or not row["found"] for row in group.rows)
    cells += [ratio(group, random, KNOWN) if noted else "–"]
    cells += [ratio(group, random, ALL) if searches else "–", middle(minutes)]
    return f"| {' | '.join(cells)} |"


def minima(group: Group) -> list[str]:
    """What Pyrite's searches found beside the ground state, each a line."""
    lines = []
    for row in group.rows:
        found = sorted(row["minima"], key=lambda one: float(one["energy_above_ground_ev_per_atom"]))
        words = "; ".join(
            f"{one['space_group']} ({1000 * one['energy_above_ground_ev_per_atom']:+.0f}, "
            f"{one['reference_calls_at_least']})"
            for one in found
        )
        cells = (group.content, group.name, row["seed"], words or "–")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def section(rows: Iterable[Row]) -> str:
    """Tables of rows, and links to their plots."""
    grouped = groups(rows)
    if not grouped:
        return "No rows yet."
    random = {(one.reference, one.system): one for one in grouped if one.method == "random"}
    lines = [HEADER]
    lines += [line(one, random.get((one.reference, one.system))) for one in grouped]
    searches = [one for one in grouped if one.method == "pyrite"]
    if searches:
        lines += ["", MINIMA_HEADER, *(text for one in searches for text in minima(one))]
    for path in map(path_of, plotted(grouped)):
        lines += ["", f"![{path.stem.replace('-', ' ')}]({path.name})"]
    return "\n".join(lines)


def read() -> list[Row]:
    """The rows of all files; the recipe says where a search was not made with today's preset.
    Those are left out once all of their seeds have been searched with today's."""
    files = sorted(RESULTS.glob("sample_efficiency-*.json"))
    rows = [row for path in files for row in stored.read(path)["rows"]]
    seeds: dict[tuple[tuple[str, ...], bool], set[int]] = {}
    marked = []
    for row in rows:
        about, now = stored.key(row)[:-1], told(row)
        earlier = EARLIER in now["recipe"]
        seeds.setdefault((about, earlier), set()).add(row["seed"])
        marked.append((about, earlier, now))
    return [
        row
        for about, earlier, row in marked
        if not (earlier and seeds[about, True] <= seeds.get((about, False), set()))
    ]


def told(row: Row) -> Row:
    """A row whose recipe says whether a search had other settings than today's preset, and
    whether its seed was known when they were chosen."""
    if row["method"] != "pyrite":
        return row
    about = (row[name] for name in ("system", "recipe", "reference", "seed"))
    words = [row["recipe"]]
    if not is_of(row, configuration(*about)):
        words.append(EARLIER)
    if row["seed"] not in CHOSEN_WITH:
        words.append(HELD_OUT)
    return row | {"recipe": ", ".join(words)}


def plotted(grouped: Iterable[Group]) -> list[tuple[str, str]]:
    """References and systems with a plot: not the transfers, whose curves are of the small cell."""
    return sorted({(one.reference, one.system) for one in grouped if one.system not in TRANSFERS})


def path_of(about: tuple[str, str]) -> Path:
    """Where the plot of a reference and a system is."""
    reference, system = about
    return SECTION.page.parent / f"sample-efficiency-{system}-{reference}.svg"


def plot() -> None:
    """Draw the plots anew."""
    rows = read()
    grouped = groups(rows)
    generators = {(one.reference, one.system): one.generator for one in grouped if one.generator}
    for about in plotted(grouped):
        draw(rows, *about, path_of(about), generators.get(about))


def body() -> str:
    """What the results say."""
    return section(read())
