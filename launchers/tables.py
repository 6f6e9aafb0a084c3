"""Searches and rankings as tables for people and as JSON for programs."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pyrite.documents import Search, SearchState
from pyrite.results import Ledger, Result, TargetFound

if TYPE_CHECKING:
    from pyrite.launchers.doctor import Finding
    from pyrite.progress import Progress
    from pyrite.store import Store

_COLOURS = {
    SearchState.WAITING: "yellow",
    SearchState.RUNNING: "cyan",
    SearchState.DONE: "green",
    SearchState.FAILED: "red",
}


def ranking_table(result: Result) -> Table:
    """The final ranking, the lowest energy first."""
    table = Table(title=f"{result.search_id}: ranking", title_justify="left")
    for heading in ("rank", "energy", "above lowest"):
        table.add_column(heading, justify="right")
    table.add_column("space group")
    for heading in ("volume", "first found"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("relaxed")
    table.add_column("stress", justify="right")
    units = ("", "eV/atom", "meV/atom", "", "Å³/atom", "iteration", "", "GPa")
    table.add_row(*units, style="dim")
    for one in result.ranking:
        found, stress = one.first_found_iteration, one.residual_stress_gpa
        table.add_row(
            str(one.rank),
            f"{one.energy_ev_per_atom:.4f}",
            f"{1000 * one.energy_above_lowest_ev_per_atom:.1f}",
            f"{one.space_group_symbol} ({one.space_group_number})",
            f"{one.volume_a3_per_atom:.2f}",
            "-" if found is None else str(found),
            "yes" if one.converged else "no",
            "-" if stress is None else f"{stress:.2f}",
        )
    return table


def ledger_lines(result: Result) -> list[str]:
    """How the search ended and what it spent."""
    spent = result.ledger
    found = spent.reference_calls_first_found
    first = "" if found is None else f", {found} until the first crystal was found"
    cycles = "" if spent.scf_cycles is None else f", {spent.scf_cycles} SCF cycles"
    return [
        f"ended by {result.ended_by.value.replace('_', ' ')} after {result.iterations} iterations",
        (
            f"reference calls: {spent.reference_calls} in all{first}{cycles}; "
            f"failed labels: {spent.failed_labels}"
        ),
        *problem_lines(spent.label_problems.items()),
        *_target_lines(spent.target),
        (
            f"seconds: reference {spent.reference_seconds:.0f}, "
            f"training {spent.training_seconds:.0f}, relaxation {spent.relaxation_seconds:.0f}"
        ),
    ]


def _target_lines(target: TargetFound | None) -> list[str]:
    if target is None:
        return []
    if target.rank is None:
        return [f"{target.structure}: not found"]
    found = f"first found in iteration {target.iteration} after {target.reference_calls} calls"
    return [f"{target.structure}: rank {target.rank}, {found}"]


def problem_lines(problems: Iterable[tuple[str, int]]) -> list[str]:
    """Why labels failed, one kind a line."""
    return [f"  {count} failed: {kind}" for kind, count in problems]


def status_table(searches: Sequence[Search], progress: Sequence["Progress"]) -> Table:
    """All searches of a store, one a line."""
    table = Table()
    table.add_column("name", no_wrap=True)  # other commands ask for it
    for heading in ("composition", "state", "added"):
        table.add_column(heading, overflow="fold")
    for heading in ("iteration", "labels", "lowest predicted, eV/atom"):
        table.add_column(heading, justify="right", overflow="fold")
    for search, now in zip(searches, progress, strict=True):
        lowest = now.lowest_energy
        table.add_row(
            search.search_id,
            search.config.composition,
            Text(search.state, style=_COLOURS[search.state]),
            datetime.fromtimestamp(search.created).astimezone().strftime("%Y-%m-%d %H:%M"),
            "-" if now.iteration is None else str(now.iteration),
            str(now.labels_ok) + (f", {now.labels_failed} failed" if now.labels_failed else ""),
            "-" if lowest is None else f"{lowest:.4f}",
        )
    return table


def replay_table(name: str, recorded: Result | None, replayed: Result) -> Table:
    """What a search came to, and what became of it by other rules."""
    table = Table()
    for heading in ("search", "first ranked", "ended by"):
        table.add_column(heading, no_wrap=heading != "first ranked", overflow="fold")
    for heading in ("eV/atom", "iterations", "calls until found", "calls in all"):
        table.add_column(heading, justify="right", overflow="fold")
    for title, result in ((name, recorded), ("replay", replayed)):
        if result is not None:
            best, spent = result.ranking[0], result.ledger
            table.add_row(
                title,
                best.space_group_symbol,
                result.ended_by.value,
                f"{best.energy_ev_per_atom:.4f}",
                str(result.iterations),
                str(spent.reference_calls_first_found),
                str(spent.reference_calls),
            )
    return table


def findings_table(findings: Sequence["Finding"]) -> Table:
    """What a machine has and lacks."""
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    table = Table(show_header=False, box=None)
    for one in findings:
        table.add_row(Text(one.verdict, style=colours[one.verdict]), one.subject, Text(one.text))
    return table


def results_document(store: "Store", name: str) -> dict[str, Any]:
    """What ``pyrite results NAME --json`` prints; without a ranking before the end."""
    search, result = store.get_search(name), store.result(name)
    document: dict[str, Any] = {
        "name": search.search_id,
        "composition": search.config.composition,
        "state": search.state.value,
    }
    if result is None:
        return document | {
            "iterations": sum(one.convergence is not None for one in store.iterations(name)),
            "ended_by": search.error,  # of a search that failed
            "ranking": [],
            "ledger": _spent_so_far(store, name).model_dump(mode="json"),
        }
    return document | {
        "iterations": result.iterations,
        "ended_by": result.ended_by.value,
        "ranking": [
            one.model_dump(mode="json", exclude={"crystal", "candidate_ids"})
            | {"structure": one.crystal.to_structure().as_dict()}
            for one in result.ranking
        ],
        "ledger": result.ledger.model_dump(mode="json"),
    }


def _spent_so_far(store: "Store", name: str) -> Ledger:
    from pyrite.models.ranking import ledger

    return ledger(
        store.labels(name),
        store.members_facts(name),
        store.shard_costs(name),
        store.validations(name),
        (),
    )
