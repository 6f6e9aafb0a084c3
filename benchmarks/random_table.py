"""The table of random searches in docs/benchmarks.md, of results/random_search.json."""

from typing import Any

from benchmarks import stored
from benchmarks.random_search import summarise
from benchmarks.sections import BENCHMARKS, RESULTS, Section

SECTION = Section(BENCHMARKS, "random search")
MIN_SAMPLES = 10
HEADER = (
    "| run | relaxations | successes | failed | calls per relaxation | "
    "expected calls per success | 95 % interval |\n"
    "|---|---|---|---|---|---|---|\n"
)


def row(key: str, run: dict[str, Any]) -> str:
    """One run as a line of the table."""
    of = summarise(run["samples"], run["seed"])
    low, high = of["expected_calls_95"]
    expected, interval = of["expected_calls"], f"{low} to {'∞' if high is None else high}"
    if of["successes"] == 0:
        expected, interval = f"above {of['expected_calls_at_least']}", "–"
    return (
        f"| `{key}` | {of['samples']} | {of['successes']} | {of['failed']} | "
        f"{of['mean_calls']} | {expected} | {interval} |"
    )


def body() -> str:
    """All runs but those that have hardly begun."""
    runs = stored.read(RESULTS / "random_search.json")
    return HEADER + "\n".join(
        row(key, run) for key, run in sorted(runs.items()) if len(run["samples"]) >= MIN_SAMPLES
    )
