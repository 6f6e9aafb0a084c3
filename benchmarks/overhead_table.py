"""Write the tables of overhead into docs/benchmarks.md from results/overhead.json.

python -m benchmarks.overhead_table
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.pages import PAGE, with_section

RESULTS = Path(__file__).parent / "results" / "overhead.json"
BEGIN = "<!-- table: written by benchmarks/overhead_table.py -->\n"
END = "<!-- end of the table of overhead -->\n"
SEARCHES = (
    "| labels in a firework | fireworks before | in the iteration | reference, s | training, s | "
    "relaxation, s | selection, s | in tasks, s | between, s | overhead |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)
OPERATIONS = (
    "| operation | fireworks before | iterations in | ms | CPU of the database, ms | "
    "commands | kB |\n"
    "|---|---|---|---|---|---|---|\n"
)


def search(row: dict[str, Any]) -> str:
    """One iteration as a line."""
    parts = ("reference", "training", "relaxation", "selection", "in_tasks", "between")
    seconds = " | ".join(f"{row[name]:.1f}" for name in parts)
    return (
        f"| {row['labels_per_task']} | {row['fireworks']} | {row['in_iteration']} | {seconds} | "
        f"{100 * row['share']:.1f} % |"
    )


def operation(row: dict[str, Any]) -> str:
    """One operation as a line."""
    layout = "one workflow" if row["one_workflow"] else "their own"
    return (
        f"| {row['operation']} | {row['fireworks']} | {layout} | {row['milliseconds']:.0f} | "
        f"{row['database_cpu_milliseconds']:.0f} | {row['commands']:.0f} | {row['kilobytes']:.0f} |"
    )


def body(results: dict[str, Any]) -> str:
    """What has been measured."""
    order = ("checkout", "completion", "look")
    operations = sorted(
        results.get("operations", ()),
        key=lambda row: (order.index(row["operation"]), not row["one_workflow"], row["fireworks"]),
    )
    tables = []
    if results.get("searches"):
        tables.append(SEARCHES + "\n".join(map(search, results["searches"])))
    if operations:
        tables.append(OPERATIONS + "\n".join(map(operation, operations)))
    return "\n\n".join(tables)


def main() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_section(text, BEGIN, END, body(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
