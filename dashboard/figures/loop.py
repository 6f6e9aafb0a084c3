"""Energies and the verdict, iteration by iteration."""

import plotly.graph_objects as go

from pyrite.dashboard.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    RED,
    empty,
    framed,
    hatched,
    whole_numbers,
)
from pyrite.dashboard.queries.costs import Costs
from pyrite.dashboard.queries.loop import Loop
from pyrite.dashboard.queries.pool import Outcomes
from pyrite.documents import StopReason

OUTCOMES = {
    StopReason.CONVERGED: ("converged", GREEN, ""),
    StopReason.STALLED: ("stalled", BLUE, "/"),
    StopReason.MAX_STEPS: ("out of steps", PALE, "x"),
    StopReason.UNCERTAIN: ("uncertain", ORANGE, "."),
}
BROKEN = ("broken", RED, "\\")


def energies(loop: Loop) -> go.Figure:
    """Energies of the top clusters, the best one joined, and what the reference found."""
    cycles = [one for one in loop.cycles if one.top]
    if not cycles:
        return empty("No iteration has ranked its pool yet.")
    figure = go.Figure()
    for settled, symbol, label in (
        (True, "line-ew", "other top clusters"),
        (False, "line-ew-open", "other top clusters, uncertain"),
    ):
        points = [
            (one.number, energy)
            for one in cycles
            for energy, rests in list(zip(one.top, one.settled, strict=True))[1:]
            if rests is settled
        ]
        if points:
            figure.add_scatter(
                x=[x for x, _ in points],
                y=[y for _, y in points],
                mode="markers",
                name=label,
                marker={
                    "symbol": symbol,
                    "size": 16,
                    "line": {"width": 2, "color": GREY if settled else ORANGE},
                },
                hovertemplate="iteration %{x}<br>%{y:.4f} eV/atom<extra>" + label + "</extra>",
            )
    small = [one for one in cycles if not one.larger_cells]
    whole = [one for one in cycles if one.larger_cells]
    # Energies of larger cells go on elsewhere: a gap, and no line between the two.
    lowest = [*small, None, *whole] if small and whole else cycles
    figure.add_scatter(
        x=[one and one.number for one in lowest],
        y=[one and one.top[0] for one in lowest],
        mode="lines+markers",
        name="lowest, by the networks",
        line={"color": BLUE, "width": 2.5},
        marker={"size": 9},
        customdata=[[one and one.reason] for one in lowest],
        hovertemplate="iteration %{x}<br>%{y:.4f} eV/atom<br>%{customdata[0]}<extra></extra>",
    )
    if small and whole:
        figure.add_vline(
            x=whole[0].number - 0.5,
            line={"color": GREY, "dash": "dot", "width": 1.2},
            annotation={"text": "larger cells", "font": {"color": GREY}},
            annotation_position="top right",
        )
    labelled = [one for one in loop.cycles if one.reference is not None]
    figure.add_scatter(
        x=[one.number for one in labelled],
        y=[one.reference for one in labelled],
        mode="markers",
        name="lowest label",
        marker={"symbol": "diamond-open", "size": 10, "color": INK, "line": {"width": 1.6}},
        hovertemplate="label of iteration %{x}<br>%{y:.4f} eV/atom<extra></extra>",
    )
    if loop.validated:
        figure.add_scatter(
            x=[k + 0.22 for k, _ in loop.validated],
            y=[energy for _, energy in loop.validated],
            mode="markers",
            name="relaxed by the reference",
            marker={"symbol": "star", "size": 11, "color": GREEN},
            customdata=[k for k, _ in loop.validated],
            hovertemplate="after iteration %{customdata}<br>%{y:.4f} eV/atom<extra></extra>",
        )
    framed(figure, x="iteration", y="energy (eV/atom)", height=380, name="energies")
    whole_numbers(figure, loop.cycles[-1].number)
    return figure


def agreement(loop: Loop) -> go.Figure:
    """How many of the top clusters an iteration left unchanged: the convergence test."""
    judged = [one for one in loop.cycles if one.agreeing is not None]
    if not judged:
        return empty("No iteration has been judged yet.", height=280)
    figure = go.Figure()
    for met, colour, label in ((True, GREEN, "converged"), (False, BLUE, "goes on")):
        mine = [one for one in judged if one.converged is met]
        if mine:
            figure.add_bar(
                x=[one.number for one in mine],
                y=[one.agreeing for one in mine],
                name=label,
                width=0.6,
                marker={"color": colour},
                text=[str(one.agreeing) for one in mine],
                textposition="outside",
                constraintext="none",
                cliponaxis=False,
                customdata=[[one.reason] for one in mine],
                hovertemplate="iteration %{x}<br>%{customdata[0]}<extra></extra>",
            )
    compared = max(one.compared or 0 for one in judged)
    figure.add_hline(y=compared, line={"color": GREY, "dash": "dot", "width": 1.2})
    title = f"unchanged top clusters (of {compared})"
    framed(figure, x="iteration", y=title, height=280, name="agreement")
    figure.update_yaxes(range=[0, 1.25 * max(compared, 1)], dtick=max(1, compared // 5))
    figure.update_layout(showlegend=True, barmode="overlay")
    whole_numbers(figure, loop.cycles[-1].number)
    return figure


def outcomes(found: list[Outcomes]) -> go.Figure:
    """How the relaxations of each iteration ended, as shares of the pool."""
    found = [one for one in found if sum(one.counts.values())]
    if not found:
        return empty("No candidate has been relaxed yet.", height=300)
    figure = go.Figure()
    rows = [(*look, [one.counts[stop] for one in found]) for stop, look in OUTCOMES.items()]
    broken = [sum(n for stop, n in one.counts.items() if stop.broken) for one in found]
    for label, colour, shape, counts in (*rows, (*BROKEN, broken)):
        if any(counts):
            totals = [sum(one.counts.values()) for one in found]
            figure.add_bar(
                x=[one.iteration for one in found],
                y=[100 * n / total for n, total in zip(counts, totals, strict=True)],
                name=label,
                marker={
                    "color": colour,
                    "pattern": hatched(shape),
                },
                customdata=counts,
                hovertemplate="iteration %{x}<br>%{customdata} (%{y:.0f} %)<extra>"
                + label
                + "</extra>",
            )
    framed(figure, x="iteration", y="share of the pool (%)", height=320, name="outcomes")
    figure.update_layout(barmode="stack", bargap=0.3)
    figure.update_yaxes(range=[0, 100])
    whole_numbers(figure, max(one.iteration for one in found))
    return figure


def labels(spent: Costs) -> go.Figure:
    """Labels of each iteration, good and failed, and reference calls in all."""
    numbers = sorted(spent.labels)
    if not numbers:
        return empty("No label has been made yet.", height=300)
    failed = [spent.failed.get(k, 0) for k in numbers]
    figure = go.Figure()
    figure.add_bar(
        x=numbers,
        y=[spent.labels[k] - bad for k, bad in zip(numbers, failed, strict=True)],
        name="good labels",
        marker={"color": BLUE},
        hovertemplate="iteration %{x}<br>%{y} good labels<extra></extra>",
    )
    if any(failed):
        figure.add_bar(
            x=numbers,
            y=failed,
            name="failed or absurd",
            marker={"color": RED, "pattern": hatched("\\")},
            hovertemplate="iteration %{x}<br>%{y} failed or absurd<extra></extra>",
        )
    framed(figure, x="iteration", y="labels", height=320, name="labels")
    figure.update_layout(barmode="stack", bargap=0.3)
    whole_numbers(figure, max(numbers))
    return figure
