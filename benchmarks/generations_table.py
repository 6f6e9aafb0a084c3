"""What CrySPY's evolution breeds beside what its random search draws, in docs/benchmarks.md, of
results/sample_efficiency-*.json."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from benchmarks.cryspy_program import EA
from benchmarks.efficiency_rows import CONTENTS
from benchmarks.sample_efficiency_table import read
from benchmarks.sections import BENCHMARKS, Section

SECTION = Section(BENCHMARKS, "generations")
FIRST = int(EA["n_pop"])  # crystals that both algorithms begin with
HEADER = (
    "| system | recipe | seed | first {} crystals | the next of random search | of evolution |\n"
    "|---|---|---|---|---|---|"
)


def energies(row: dict[str, Any]) -> list[float | None]:
    """Of all relaxations in order, eV/atom above the ground state; None of those that failed."""
    above: list[float | None] = row["relaxed"]["energy_above_ground_ev_per_atom"]
    return above


def told(above: Sequence[float | None]) -> str:
    """Lowest and median, and of how many."""
    intact = [1000 * one for one in above if one is not None]
    if not intact:
        return "–"
    return f"{min(intact):.0f}, {median(intact):.0f} ({len(intact)})"


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Of the seeds whose evolution came to a second generation."""
    known = {
        (row["reference"], row["system"], row["recipe"], row["seed"], row["method"]): row
        for row in rows
        if row["method"].startswith("cryspy")
    }
    lines = [HEADER.format(FIRST)]
    for *about, method in sorted(known):
        bred, drawn = known[*about, method], known.get((*about, "cryspy-rs"))
        if method != "cryspy-ea" or drawn is None or len(energies(bred)) <= FIRST:
            continue
        _, system, recipe, seed = about
        cells = [CONTENTS[system], recipe, seed, told(energies(bred)[:FIRST])]
        cells += [told(energies(one)[FIRST:]) for one in (drawn, bred)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def body() -> str:
    """What the results say."""
    return table(read())
