"""Where the hours went."""

import plotly.graph_objects as go

from pyrite.dashboard.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    empty,
    framed,
    hatched,
    whole_numbers,
)
from pyrite.dashboard.queries.costs import KINDS, Costs

COLOURS = dict(zip(KINDS, (ORANGE, BLUE, GREEN, PURPLE), strict=True))
SHAPES = dict(zip(KINDS, ("", "/", ".", "x"), strict=True))


def ledger(spent: Costs) -> go.Figure:
    """Time of the tasks of each iteration, by kind, stacked."""
    numbers = spent.iterations
    if not numbers:
        return empty("Nothing has been spent yet.")
    sums = [sum(spent.seconds[kind].get(k, 0.0) for kind in KINDS) for k in numbers]
    unit, size = time_unit(max(sums))
    figure = go.Figure()
    for kind in KINDS:
        values = [spent.seconds[kind].get(k, 0.0) / size for k in numbers]
        if any(values):
            share = spent.of_kind(kind) / max(spent.total_seconds, 1e-30)
            figure.add_bar(
                x=numbers,
                y=values,
                name=f"{kind} ({share:.0%})",
                marker={
                    "color": COLOURS[kind],
                    "pattern": hatched(SHAPES[kind]),
                },
                hovertemplate=f"iteration %{{x}}<br>%{{y:.2f}} {unit}<extra>{kind}</extra>",
            )
    framed(figure, x="iteration", y=f"time of tasks ({unit})", height=320, name="ledger")
    figure.update_layout(barmode="stack", bargap=0.3)
    whole_numbers(figure, max(numbers))
    return figure


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which that many seconds read well, and its length in seconds."""
    if seconds >= 2 * 3600:
        return "h", 3600.0
    return ("min", 60.0) if seconds >= 120 else ("s", 1.0)
