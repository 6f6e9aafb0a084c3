"""Write the table of docs/benchmarks.md from results/random_search.json.

python -m benchmarks.random_table
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.pages import PAGE, with_section
from benchmarks.random_search import summarise

RESULTS = Path(__file__).parent / "results" / "random_search.json"
BEGIN = "<!-- table: written by benchmarks/random_table.py -->\n"
END = "<!-- end of table -->\n"
MIN_SAMPLES = 10
HEADER = (
    "| run | relaxations | successes | failed | calls per relaxation | "
    "expected calls per success | 95 % interval |\n"
    "|---|---|---|---|---|---|---|\n"
)


def row(key: str, run: dict[str, Any], samples: int) -> str:
    """One run as a line of the table, from its first ``samples`` relaxations."""
    of = summarise(run["samples"][:samples], run["seed"])
    low, high = of["expected_calls_95"]
    expected, interval = of["expected_calls"], f"{low} to {'∞' if high is None else high}"
    if of["successes"] == 0:
        expected, interval = f"above {of['expected_calls_at_least']}", "–"
    return (
        f"| `{key}` | {of['samples']} | {of['successes']} | {of['failed']} | "
        f"{of['mean_calls']} | {expected} | {interval} |"
    )


def page(text: str, runs: dict[str, Any]) -> str:
    """``text`` with its table brought up to date; runs that have hardly begun are left out."""
    rows = "\n".join(
        row(key, run, len(run["samples"]))
        for key, run in sorted(runs.items())
        if len(run["samples"]) >= MIN_SAMPLES
    )
    return with_section(text, BEGIN, END, HEADER + rows)


def main() -> None:
    runs = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), runs), encoding="utf-8")


if __name__ == "__main__":
    main()
