"""What Pyrite saves with today's presets, for the README, of
results/sample_efficiency-sevennet.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.sample_efficiency_table import ALL, FIRST, KNOWN, Group, groups, read, times
from benchmarks.sections import ROOT, Section

SECTION = Section(ROOT / "README.md", "what it saves")
SYSTEMS = ("na8cl8", "al4o6", "ga8as8", "si16")  # the cheapest for random search first
HEADER = (
    "| system | Pyrite, `--preset` | found | calls until first found | until known | in all | "
    "random search, calls | times fewer (95 %): until first found | until known | in all |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def listed(values: Sequence[int | None]) -> str:
    """Numbers of all seeds, or – where one is not known."""
    return "–" if None in values else ", ".join(map(str, values))


def line(search: Group, random: Group) -> str:
    """One system."""
    baseline = random.cost(*random.spent())
    calls = {
        until: [row.get(name) for row in search.rows]
        for until, name in ((FIRST, FIRST), (KNOWN, KNOWN), (ALL, "reference_calls_converged"))
    }
    ratios = []
    for until, told in calls.items():
        middle, low, _ = times(search, random, until)
        doubt = "" if np.isnan(low) else f" (at least {low:.2g})"
        ratios.append("–" if None in told else f"{middle:.0f}{doubt}")
    found = sum(row["found"] for row in search.rows)
    cells = [search.content, f"`{search.system}-fast`", f"{found} of {len(search.rows)}"]
    cells += [*map(listed, calls.values()), f"{baseline:.0f}", *ratios]
    return f"| {' | '.join(cells)} |"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Of the systems that have been searched and have a baseline."""
    known = {
        (one.system, one.method): one for one in groups(rows) if one.recipe in {"fast", "pool"}
    }
    pairs = ((known.get((name, "pyrite")), known.get((name, "random"))) for name in SYSTEMS)
    return "\n".join([HEADER, *(line(one, two) for one, two in pairs if one and two)])


def body() -> str:
    """What the results say."""
    return table([row for row in read() if row["reference"] == "sevennet"])
