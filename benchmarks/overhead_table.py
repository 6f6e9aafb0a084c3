"""The tables of what bookkeeping costs in docs/performance.md, of results/overhead.json."""

from typing import Any

from benchmarks import stored
from benchmarks.sections import PERFORMANCE, RESULTS, Section

SECTION = Section(PERFORMANCE, "overhead")
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


def body() -> str:
    """What has been measured."""
    results = stored.read(RESULTS / "overhead.json")
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
