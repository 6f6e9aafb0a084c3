"""The table of ablations in docs/ablations.md, of results/ablations.json."""

from collections.abc import Callable
from operator import itemgetter
from statistics import median
from typing import Any

from benchmarks import sections, stored
from benchmarks.ablations import PRESET, REFERENCE, RESULTS, VARIANTS, name_of, varied
from benchmarks.efficiency_rows import CONTENTS, SYSTEMS
from benchmarks.random_search import TOLERANCE
from benchmarks.sample_efficiency_table import read

SECTION = sections.Section(sections.ABLATIONS, "ablations")
HEADER = (
    "| system | preset | variant | seeds | found | calls until known | "
    "calls until converged | calls in all | minutes |\n|---|---|---|---|---|---|---|---|---|"
)


def presets(reference: str) -> list[dict[str, Any]]:
    """The rows of the presets that are as they are today."""
    return [
        row
        | {"recipe": PRESET}
        | {"preset": name_of(varied(row["system"], PRESET, reference, row["seed"]))}
        for row in read()
        if (row["reference"], row["recipe"]) == (reference, "fast") and row["system"] in SYSTEMS
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """All rows, seeds of one variant together, those of a preset first."""
    if not rows:
        return "No rows yet."
    lines = [HEADER]
    order = {name: place for place, name in enumerate(VARIANTS)}
    names = sorted(
        {key(row) for row in rows},
        key=lambda one: (*one[:2], order.get(one[2], len(order)), one[2]),
    )
    for name in names:
        mine = sorted((row for row in rows if key(row) == name), key=lambda row: int(row["seed"]))
        seeds = ", ".join(str(row["seed"]) for row in mine)
        columns = [
            ", ".join("–" if one is None else str(one) for one in map(told, mine))
            for told in (until_known, itemgetter("reference_calls_converged"), all_calls)
        ]
        found = f"{sum(row['found'] for row in mine)} of {len(mine)}"
        minutes = f"{median(row['seconds'] for row in mine) / 60:.0f}"
        lines.append(
            f"| {CONTENTS[name[0]]} | {' | '.join([*name[1:], seeds, found, *columns, minutes])} |"
        )
    return "\n".join(lines)


all_calls: Callable[[dict[str, Any]], int] = itemgetter("reference_calls")


def until_known(row: dict[str, Any]) -> int | str | None:
    """Calls until a label was the ground state; if only the last relaxations were, all of them.

    In brackets, of rows before that was noted: until a label of whatever crystal lay within
    `random_search.TOLERANCE` of it, with the relaxations at the end of that iteration.
    """
    if row.get("reference_calls_known") is not None:
        return int(row["reference_calls_known"])
    if not row["found"]:
        return None
    limit = row["ground_state_ev_per_atom"] + TOLERANCE
    near = (
        one["reference_calls"] for one in row["curve"] if one["lowest_label_ev_per_atom"] <= limit
    )
    return f"({next(near, all_calls(row))})"


def key(row: dict[str, Any]) -> tuple[str, str, str]:
    """System, preset and variant."""
    return row["system"], row["preset"], row["recipe"]


def body() -> str:
    """What the results say."""
    rows = [row for row in stored.read(RESULTS).get("rows", []) if row["reference"] == REFERENCE]
    return table([*rows, *presets(REFERENCE)])
