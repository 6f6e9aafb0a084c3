"""The dynamic workflow: one square for each firework, by task and iteration."""

import math
from collections import defaultdict

import plotly.graph_objects as go

from pyrite.dashboard.figures.style import GREY, INK, PALE, STATES, empty, framed, whole_numbers
from pyrite.dashboard.queries.fireworks import STATES as ORDER
from pyrite.dashboard.queries.fireworks import TASKS, Flow, Task

_SYMBOLS = {
    "COMPLETED": "square",
    "RUNNING": "circle",
    "RESERVED": "circle-open",
    "READY": "square-open",
    "WAITING": "square-open",
    "PAUSED": "diamond",
    "DEFUSED": "diamond-open",
    "ARCHIVED": "square-x",
    "FIZZLED": "x",
}
_MOST = 12  # squares in one cell; beyond that a square stands for several fireworks
_ROW = 4


def workflow(flow: Flow) -> go.Figure:
    """Fireworks as squares and their links as lines; a cell is one task of one iteration."""
    if not flow.tasks:
        return empty("This search has no fireworks: it was run elsewhere, or is just being added.")
    kinds = [kind for kind in TASKS if any(one.kind == kind for one in flow.tasks)]
    height = {kind: -float(index) for index, kind in enumerate(kinds)}
    figure = go.Figure()
    _add_links(figure, flow, height)
    _add_tasks(figure, flow, height)
    last = max(one.iteration for one in flow.tasks)
    framed(figure, x="iteration", height=60 + 62 * len(TASKS) + 40, name="workflow")
    figure.update_yaxes(
        tickvals=list(height.values()),
        ticktext=[TASKS[kind] for kind in kinds],
        range=[-len(kinds) + 0.4, 0.6],
        showgrid=False,
        showline=False,
        ticks="",
    )
    figure.update_xaxes(showgrid=False)
    whole_numbers(figure, last)
    figure.update_layout(clickmode="event")
    return figure


def _add_links(figure: go.Figure, flow: Flow, height: dict[str, float]) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    for (kind, k), (other, m) in sorted(flow.links):
        if kind in height and other in height:
            x += [k, m, None]
            y += [height[kind], height[other], None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": PALE, "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )


def _add_tasks(figure: go.Figure, flow: Flow, height: dict[str, float]) -> None:
    cells: dict[tuple[str, int], list[Task]] = defaultdict(list)
    for one in flow.tasks:
        if one.kind in height:
            cells[one.kind, one.iteration].append(one)
    traces: dict[str, list[tuple[float, float, str, list[object]]]] = defaultdict(list)
    counts = []
    step = min(0.2, 0.04 * (1 + max(one.iteration for one in flow.tasks)))
    for (kind, k), tasks in sorted(cells.items()):
        states = _squares(tasks)
        for (dx, dy), state in zip(_places(len(states), step), states, strict=True):
            told = f"{TASKS[kind]}, iteration {k}<br>{_told(tasks)}"
            traces[state].append((k + dx, height[kind] + dy, told, [kind, k]))
        if len(tasks) > _MOST:
            counts.append((k, height[kind] + 0.36, str(len(tasks))))
    for state in ORDER:
        points = traces.get(state)
        if points:
            figure.add_scatter(
                x=[one[0] for one in points],
                y=[one[1] for one in points],
                mode="markers",
                name=state.lower(),
                marker={
                    "symbol": _SYMBOLS[state],
                    "size": 11,
                    "color": STATES[state] if state != "WAITING" else GREY,
                    "line": {"width": 1.5, "color": _edge(state)},
                },
                text=[one[2] for one in points],
                customdata=[one[3] for one in points],
                hovertemplate="%{text}<extra></extra>",
            )
    if counts:
        figure.add_scatter(
            x=[one[0] for one in counts],
            y=[one[1] for one in counts],
            text=[one[2] for one in counts],
            mode="text",
            textfont={"size": 11, "color": INK},
            showlegend=False,
            hoverinfo="skip",
        )


def _edge(state: str) -> str:
    return {"READY": "#9A8B00", "WAITING": GREY}.get(state, STATES[state])


def _squares(tasks: list[Task]) -> list[str]:
    """States of the squares of one cell, in the order of `ORDER`; failed ones are never lost."""
    states = sorted((one.state for one in tasks), key=ORDER.index)
    if len(states) <= _MOST:
        return states
    shown = []
    for state in ORDER:
        count = states.count(state)
        shown += [state] * math.ceil(_MOST * count / len(states))
    return shown


def _places(number: int, step: float) -> list[tuple[float, float]]:
    """Offsets of so many squares around the middle of their cell, `step` apart in x."""
    rows = -(-number // _ROW)
    places = []
    for index in range(number):
        row, column = divmod(index, _ROW)
        width = min(_ROW, number - row * _ROW)
        places.append((step * (column - (width - 1) / 2), 0.25 * ((rows - 1) / 2 - row)))
    return places


def _told(tasks: list[Task]) -> str:
    states = [one.state for one in tasks]
    counts = [f"{states.count(state)} {state.lower()}" for state in ORDER if state in states]
    times = [one.seconds for one in tasks if one.seconds is not None]
    mean = f"<br>{sum(times) / len(times):.1f} s on average" if times else ""
    return ", ".join(counts) + mean
