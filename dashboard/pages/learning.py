"""Whether the networks learn, and whether their uncertainty can be believed."""

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from pyrite.dashboard.figures.learning import (
    calibration_energy,
    calibration_force,
    curves,
    parity_energy,
    parity_force,
)
from pyrite.dashboard.pages.frame import Tab, card, graph, stamped
from pyrite.dashboard.queries.learning import Parity, learning_curve, parity
from pyrite.dashboard.source import Source

ABOUT_CURVES = (
    "Mean absolute errors of each network on the labels that it held out (on its training labels "
    "where it holds none out)."
)
ABOUT_PARITY = (
    "What the networks of iteration k − 1 say of the labels of iteration k before they learn "
    "them. Bars are the networks' standard deviation."
)
ABOUT_FORCE = (
    "Components of the forces on atoms. Where relaxations came to rest the networks see no force: "
    "what the reference says there is their error."
)
ABOUT_CALIBRATION = (
    "On the dotted line, errors are as large as the networks' spread announces; above it, the "
    "networks are too sure of themselves."
)


def unpredicted(found: Parity) -> str:
    """How many labels are in the figures, in words."""
    return f"{len(found.energy)} labels; {found.unpredicted} were not predicted, as the first ones."


def _values(source: Source, name: str) -> Sequence[Any]:
    views = source.views(name)
    found = parity(views, name)
    return (
        curves(learning_curve(views, name)),
        parity_energy(found),
        parity_force(found),
        calibration_energy(found),
        calibration_force(found),
        unpredicted(found),
    )


def _layout(source: Source, name: str) -> Component:
    drawn = _values(source, name)
    return stamped(
        source,
        name,
        TAB,
        card("Learning curves", graph("curves", drawn[0]), about=ABOUT_CURVES, wide=True),
        card(
            "Energies, before they were known",
            graph("parity-energy", drawn[1]),
            about=[ABOUT_PARITY + " ", html.Span(drawn[5], id="unpredicted")],
        ),
        card(
            "Can the uncertainty of energies be believed?",
            graph("calibration-energy", drawn[3]),
            about=ABOUT_CALIBRATION,
        ),
        card("Forces, before they were known", graph("parity-force", drawn[2]), about=ABOUT_FORCE),
        card(
            "Can the uncertainty of forces be believed?",
            graph("calibration-force", drawn[4]),
            about="The same for the components of forces.",
        ),
    )


TAB = Tab(
    slug="learning",
    title="Learning",
    layout=_layout,
    live=(
        ("curves", "figure"),
        ("parity-energy", "figure"),
        ("parity-force", "figure"),
        ("calibration-energy", "figure"),
        ("calibration-force", "figure"),
        ("unpredicted", "children"),
    ),
    values=_values,
)
