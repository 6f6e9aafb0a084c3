"""The fireworks of a search: the dynamic workflow, failed tasks, and what can be done."""

import time
from collections.abc import Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from pyrite.dashboard.auth import has_entered
from pyrite.dashboard.figures.workflow import workflow
from pyrite.dashboard.pages.frame import Tab, card, chip, graph, name_in, stamped, table, when
from pyrite.dashboard.queries.fireworks import (
    TASKS,
    UNDER_WAY,
    Flow,
    Task,
    flow,
    last_lines,
    remedy,
)
from pyrite.dashboard.queries.overview import duration
from pyrite.dashboard.source import Source
from pyrite.errors import PyriteError

_HEADINGS = ("firework", "task", "state", "took", "started", "worker", "launch directory")
_MOST = 200  # rows
_MOST_FAILED = 5
_LOG = 20_000  # bytes that are read of a worker's log
ABOUT = (
    "One square for each firework, by task and iteration; each iteration is added by the one "
    "before. Click at a task to list its fireworks below."
)
ABOUT_DURATIONS = "Mean time of a firework, by task and iteration. Each leads to its list below."
NO_ACTIONS = (
    "Tasks cannot be run again, paused or resumed from here, since this dashboard has no password. "
    "Set PYRITE_DASHBOARD_PASSWORD and start it again."
)
QUESTIONS = {
    "rerun": "Run all failed tasks of this search again? Do so once their cause is mended.",
    "pause": "Pause this search? Tasks at work go on to their end; no other one starts.",
    "resume": "Resume this search? Its paused tasks may start again.",
}
_WORDS = {"rerun": "Run failed tasks again", "pause": "Pause", "resume": "Resume"}


def _flow(source: Source, name: str) -> Flow:
    return flow(source.views(name), name)


def _values(source: Source, name: str) -> Sequence[Any]:
    found = _flow(source, name)
    return workflow(found), _failed(source, name, found), _counts(found), _durations(found)


def _durations(found: Flow) -> Component:
    if not found.tasks:
        return html.P("There are no fireworks yet.", className="empty")
    numbers = sorted({one.iteration for one in found.tasks})
    rows = [
        [TASKS[kind], *(_cell(found.at(kind, k), kind, k) for k in numbers)]
        for kind in TASKS
        if any(one.kind == kind for one in found.tasks)
    ]
    headings = ("task", *(f"iteration {k}" for k in numbers))
    return table(headings, rows, numbers=range(1, len(numbers) + 1))


def _cell(tasks: Sequence[Task], kind: str, iteration: int) -> Any:
    if not tasks:
        return ""
    times = [one.seconds for one in tasks if one.seconds is not None]
    many = "" if len(tasks) == 1 else f"{len(tasks)} "
    return html.Button(
        f"{many and many + '× '}{duration(sum(times) / len(times))}"
        if times
        else f"{many}{tasks[0].state.lower()}",
        id={"type": "cell", "kind": kind, "iteration": iteration},
        className="pick",
        **{"aria-label": f"List {TASKS[kind]} of iteration {iteration}"},
    )


def _counts(found: Flow) -> list[Component]:
    return [
        html.Span([chip(state), f" {count} "], className="count")
        for state, count in sorted(found.counts().items())
    ]


def _failed(source: Source, name: str, found: Flow) -> list[Component]:
    failed = found.in_state("FIZZLED")
    if not failed:
        return [html.P("No task has failed.", className="about")]
    recorded = source.store.get_search(name).error
    parts = [_failure(source, name, one, recorded) for one in failed[:_MOST_FAILED]]
    if len(failed) > _MOST_FAILED:
        parts.append(html.P(f"… and {len(failed) - _MOST_FAILED} more."))
    return parts


def _failure(source: Source, name: str, one: Task, recorded: str | None) -> Component:
    trace = "" if one.launch_id is None else source.views(name).stacktrace(one.launch_id)
    log = source.log_of(one.worker)
    told = [html.Details([html.Summary("End of its traceback"), html.Pre(last_lines(trace))])]
    if log is not None:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG))
            text = file.read().decode(errors="replace")
        told.append(html.Details([html.Summary(f"End of {log.name}"), html.Pre(last_lines(text))]))
    return html.Div(
        [
            html.H3(f"{one.name} (firework {one.fw_id})"),
            html.P(remedy(trace, recorded), className="error"),
            html.P(["Launched in ", html.Code(one.directory or "an unknown place")]),
            *told,
        ],
        className="failure",
    )


def _listed(found: Flow, kind: str | None, iteration: int | None) -> Component:
    if kind is None or iteration is None:
        mine = found.in_state(*UNDER_WAY) or sorted(
            (one for one in found.tasks if one.started), key=lambda one: -(one.started or 0)
        )
        title = "At work" if found.in_state(*UNDER_WAY) else "Last to run"
        mine = mine[:12]
    else:
        mine, title = found.at(kind, iteration), f"{TASKS[kind]}, iteration {iteration}"
    rows = [
        [
            str(one.fw_id),
            one.name,
            chip(one.state),
            _took(one),
            when(one.started),
            one.worker or "–",
            html.Code(one.directory or "–"),
        ]
        for one in mine[:_MOST]
    ]
    return html.Div([html.H3(title), table(_HEADINGS, rows, numbers=(0, 3))])


def _took(one: Task) -> str:
    going = one.going(time.time())
    if going is not None:
        return f"{duration(going)} so far"
    return "–" if one.seconds is None else duration(one.seconds)


def _actions(source: Source) -> Component:
    if source.actions is None:
        return html.P(NO_ACTIONS, className="about")
    buttons = [
        html.Button(words, id=f"ask-{action}", className="button")
        for action, words in _WORDS.items()
    ]
    confirm = html.Div(
        [
            html.P(id="question"),
            html.Button("Yes", id="confirm", className="button primary"),
            html.Button("No", id="cancel", className="button"),
        ],
        id="confirmation",
        className="confirmation",
        hidden=True,
        role="alertdialog",
        **{"aria-labelledby": "question"},
    )
    return html.Div(
        [
            dcc.Store(id="asked"),
            html.Div(buttons, className="buttons"),
            confirm,
            html.P(id="done", role="status"),
        ]
    )


def _layout(source: Source, name: str) -> Component:
    figure, failed, counts, durations = _values(source, name)
    return stamped(
        source,
        name,
        TAB,
        card(
            "Workflow",
            html.Div(counts, id="counts"),
            html.Div(graph("workflow", figure), className="scroll", tabIndex=0),
            about=ABOUT,
            wide=True,
        ),
        card("Failed tasks", html.Div(failed, id="failed")),
        card("Actions", _actions(source)),
        card("Durations", html.Div(durations, id="durations"), about=ABOUT_DURATIONS, wide=True),
        card(
            "Fireworks",
            html.Div(_listed(_flow(source, name), None, None), id="fireworks"),
            wide=True,
        ),
    )


TAB = Tab(
    slug="tasks",
    title="Tasks",
    layout=_layout,
    live=(
        ("workflow", "figure"),
        ("failed", "children"),
        ("counts", "children"),
        ("durations", "children"),
    ),
    values=_values,
)


def register(app: Dash, source: Source) -> None:
    """List what was clicked at; do what was confirmed, for those who gave the password."""

    @app.callback(  # type: ignore[untyped-decorator]
        Output("fireworks", "children"),
        Input("workflow", "clickData"),
        Input({"type": "cell", "kind": ALL, "iteration": ALL}, "n_clicks"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def show(clicked: dict[str, Any] | None, _cells: list[int | None], path: str | None) -> Any:
        name, cell = name_in(path), ctx.triggered_id
        if name is None:
            return no_update
        if isinstance(cell, dict):  # a table that is drawn anew has been clicked at by nobody
            if not ctx.triggered[0]["value"]:
                return no_update
            return _listed(_flow(source, name), cell["kind"], cell["iteration"])
        point = (clicked or {}).get("points", [{}])[0].get("customdata")
        if not point:
            return no_update
        return _listed(_flow(source, name), str(point[0]), int(point[1]))

    if source.actions is None:
        return

    @app.callback(  # type: ignore[untyped-decorator]
        Output("confirmation", "hidden"),
        Output("question", "children"),
        Output("asked", "data"),
        *(Input(f"ask-{action}", "n_clicks") for action in QUESTIONS),
        Input("cancel", "n_clicks"),
        prevent_initial_call=True,
    )
    def ask(*clicks: int | None) -> tuple[Any, Any, Any]:
        action = str(ctx.triggered_id or "").removeprefix("ask-")
        if not any(clicks) or action not in QUESTIONS:
            return True, "", None
        return False, QUESTIONS[action], action

    @app.callback(  # type: ignore[untyped-decorator]
        Output("done", "children"),
        Output("confirmation", "hidden", allow_duplicate=True),
        Output("asked", "data", allow_duplicate=True),
        Input("confirm", "n_clicks"),
        State("asked", "data"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def do(clicks: int | None, action: str | None, path: str | None) -> tuple[Any, Any, Any]:
        name = name_in(path)
        if not clicks or name is None or action not in QUESTIONS or source.actions is None:
            return no_update, True, None
        if not has_entered():  # the door lets nobody else this far
            return "Enter the password first.", True, None
        deeds = {
            "rerun": source.actions.rerun,
            "pause": source.actions.pause,
            "resume": source.actions.resume,
        }
        try:
            return deeds[action](name), True, None
        except PyriteError as error:
            return str(error), True, None
