"""Colours, fonts and axes of all figures.

Colours are Okabe and Ito's, which stay apart for people who see colours differently; nothing is
told by colour alone.
"""

from typing import Any

import plotly.graph_objects as go

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, INK = "#CC79A7", "#56B4E9", "#F0E442", "#1F2933"
GREY, PALE, LINE = "#8A94A0", "#C3CAD2", "#E3E7EC"
SOFT = "#52606D"
"""Of words, where grey would be too faint to read."""

RANKED = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY, YELLOW)
"""First, second, … of a ranking."""

STATES = {
    "COMPLETED": GREEN,
    "RUNNING": BLUE,
    "RESERVED": SKY,
    "READY": YELLOW,
    "WAITING": PALE,
    "PAUSED": PURPLE,
    "DEFUSED": PURPLE,
    "ARCHIVED": GREY,
    "FIZZLED": RED,
}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
SEQUENCE = "Cividis"
"""A sequential scale that keeps its order in grey, too."""

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg"},
}
"""How browsers show a figure."""


def empty(message: str, height: int = 320) -> go.Figure:
    """A figure that says why there is nothing to see."""
    figure = framed(go.Figure(), height=height)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=message, showarrow=False, font={"size": 14, "color": SOFT})
    return figure


def framed(
    figure: go.Figure, *, x: str = "", y: str = "", height: int = 320, name: str = ""
) -> go.Figure:
    """Give a figure its axes' titles (with units) and the looks of the house.

    Parameters
    ----------
    name
        what the figure is of: while it stays the same, a browser keeps zoom and hidden traces
    """
    figure.update_layout(
        template="none",
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        height=height,
        margin={"l": 64, "r": 16, "t": 44, "b": 52},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "itemsizing": "constant",
        },
        hoverlabel={"font": {"family": FONT}},
        uirevision=name or "same",
        hovermode="closest",
    )
    axis = {
        "showline": True,
        "linecolor": GREY,
        "ticks": "outside",
        "tickcolor": GREY,
        "ticklen": 4,
        "gridcolor": LINE,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    if x:
        figure.update_xaxes(title_text=x)
    if y:
        figure.update_yaxes(title_text=y)
    return figure


def whole_numbers(figure: go.Figure, last: int) -> None:
    """Ticks of an iteration axis that runs from 0 to `last`: every one, while there is room."""
    step = max(1, -(-(last + 1) // 12))
    figure.update_xaxes(tickmode="linear", tick0=0, dtick=step, range=[-0.5, last + 0.5])


def hatched(shape: str) -> dict[str, Any]:
    """A pattern in white over a bar, for those to whom its colour says nothing."""
    return {"shape": shape, "size": 6, "solidity": 0.25, "fgcolor": "white", "fillmode": "overlay"}
