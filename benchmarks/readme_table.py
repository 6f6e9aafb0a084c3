"""What Pyrite saves with today's presets, for the README, of
results/sample_efficiency-sevennet.json."""

from collections.abc import Sequence
from typing import Any

from benchmarks.sample_efficiency_table import Group, groups, read
from benchmarks.sections import ROOT, Section

SECTION = Section(ROOT / "README.md", "what it saves")
SYSTEMS = ("na8cl8", "al4o6", "ga8as8", "si16")  # the cheapest for random search first
HEADER = (
    "| system | Pyrite, `--preset` | found | calls until first found | calls in all | "
    "random search, calls | ratio until found | ratio in all |\n|---|---|---|---|---|---|---|---|"
)


def listed(values: Sequence[int | None]) -> str:
    """Numbers of all seeds, or – where one is not known."""
    return "–" if None in values else ", ".join(map(str, values))


def line(search: Group, random: Group) -> str:
    """One system."""
    baseline = random.cost(*random.spent())
    first, every = (
        [row[name] for row in search.rows]
        for name in ("reference_calls_first_found", "reference_calls_converged")
    )
    ratios = [
        "–" if None in calls else f"{baseline / search.cost(*search.spent(whole)):.0f}"
        for calls, whole in ((first, False), (every, True))
    ]
    found = sum(row["found"] for row in search.rows)
    cells = [search.content, f"`{search.system}-fast`", f"{found} of {len(search.rows)}"]
    cells += [listed(first), listed(every), f"{baseline:.0f}", *ratios]
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
