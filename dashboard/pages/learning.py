"""Whether the networks learn, and whether their uncertainty can be believed."""

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from pyrite.dashboard.figures.learning import calibration, curves, parity_energy, parity_force
from pyrite.dashboard.pages.frame import Tab, card, graph, stamped
from pyrite.dashboard.queries.learning import Parity, learning_curve, parity
from pyrite.dashboard.source import Source

ABOUT_CURVES = (
    "Mean absolute errors of each network on the labels that it held out (on its training labels "
    "where it holds none out)."
)
ABOUT_PARITY = (
    "Labels are predicted before they are made: the networks of iteration k − 1 chose the geometry "
    "that iteration k labels. Bars are the networks' standard deviation."
)
ABOUT_FORCE = (
    "The largest force on an atom: of predicted forces the store keeps no other. Candidates that "
    "came to rest have small predicted forces."
)
ABOUT_CALIBRATION = (
    "Points on the dotted line: errors are as large as the networks' spread announces. Above it, "
    "the networks are too sure of themselves."
)

NOT_STORED = (
    "Errors in the course of a training: those of its best weights are kept.",
    (
        "Predicted forces on single atoms: the largest one is kept. Their parity and the "
        "calibration of force uncertainties cannot be drawn."
    ),
    "Predictions of labels that were displaced by noise, and of the first, random ones.",
    "Which candidate was in which cluster: only the best members of the top clusters are kept.",
)


def unpredicted(found: Parity) -> str:
    """How many labels are in the figures, in words."""
    return (
        f"{len(found.predicted)} labels have a prediction of the same geometry; "
        f"{found.unpredicted} have none (first labels, displaced ones, ends of reference "
        "relaxations)."
    )


def _values(source: Source, name: str) -> Sequence[Any]:
    views = source.views(name)
    found = parity(views, name)
    return (
        curves(learning_curve(views, name)),
        parity_energy(found),
        parity_force(found),
        calibration(found),
        unpredicted(found),
    )


def _layout(source: Source, name: str) -> Component:
    drawn = _values(source, name)
    return stamped(
        source,
        name,
        TAB,
        card("Learning curves", graph("curves", drawn[0]), about=ABOUT_CURVES),
        card(
            "Energies, before they were known",
            graph("parity-energy", drawn[1]),
            about=[ABOUT_PARITY + " ", html.Span(drawn[4], id="unpredicted")],
        ),
        card("Forces, before they were known", graph("parity-force", drawn[2]), about=ABOUT_FORCE),
        card(
            "Can the uncertainty be believed?",
            graph("calibration", drawn[3]),
            about=ABOUT_CALIBRATION,
        ),
        card("What the store does not keep", html.Ul([html.Li(one) for one in NOT_STORED])),
    )


TAB = Tab(
    slug="learning",
    title="Learning",
    layout=_layout,
    live=(
        ("curves", "figure"),
        ("parity-energy", "figure"),
        ("parity-force", "figure"),
        ("calibration", "figure"),
        ("unpredicted", "children"),
    ),
    values=_values,
)
