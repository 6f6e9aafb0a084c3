"""Whether the networks learn, and whether they know what they do not know."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pyrite.dashboard.figures.style import (
    BLUE,
    FONT,
    GREY,
    INK,
    SEQUENCE,
    empty,
    framed,
    whole_numbers,
)
from pyrite.dashboard.queries.learning import Errors, Parity

_NOTHING = "No label was predicted before it was made: this needs a second iteration."
_BINS = 6


def curves(errors: tuple[Errors, ...]) -> go.Figure:
    """Held-out errors of energies, forces and stresses of every network, by iteration."""
    if not errors:
        return empty("No network has been trained yet.")
    panels = (
        ("energy (meV/atom)", [1000 * one.energy for one in errors]),
        ("force (meV/Å)", [1000 * one.force for one in errors]),
        ("stress (meV/Å³)", [1000 * one.stress for one in errors]),
    )
    figure = make_subplots(rows=3, cols=1, vertical_spacing=0.06, shared_xaxes=True)
    iterations = np.array([one.iteration for one in errors])
    numbers = np.unique(iterations)
    labels = {one.iteration: one.labels for one in errors}
    for column, (_, values) in enumerate(panels, start=1):
        array = np.array(values)
        figure.add_scatter(
            x=numbers,
            y=[array[iterations == k].mean() for k in numbers],
            mode="lines+markers",
            name="mean of the networks",
            showlegend=column == 1,
            line={"color": BLUE, "width": 2.5},
            customdata=[labels[int(k)] for k in numbers],
            hovertemplate="iteration %{x}, %{customdata} labels<br>%{y:.3g}<extra></extra>",
            row=column,
            col=1,
        )
        figure.add_scatter(
            x=iterations,
            y=array,
            mode="markers",
            name="each network",
            showlegend=column == 1,
            marker={"symbol": "circle-open", "color": GREY, "size": 6},
            hoverinfo="skip",
            row=column,
            col=1,
        )
    framed(figure, height=560, name="curves")
    figure.update_xaxes(title_text="iteration", row=3)
    for row, (title, _) in enumerate(panels, start=1):
        figure.update_yaxes(title_text=title, rangemode="tozero", row=row)
    whole_numbers(figure, int(numbers.max()))
    return figure


def parity_energy(found: Parity) -> go.Figure:
    """Predicted against reference energies, with the members' spread."""
    if not len(found.predicted):
        return empty(_NOTHING, height=360)
    figure = _parity(
        found,
        found.reference,
        found.predicted,
        error={"type": "data", "array": found.spread, "color": "#9AA5B1", "thickness": 1},
        unit="eV/atom",
    )
    framed(
        figure,
        x="reference energy (eV/atom)",
        y="predicted energy (eV/atom)",
        height=380,
        name="parity-energy",
    )
    return _with_note(figure, f"mean |error| {1000 * np.abs(found.errors).mean():.1f} meV/atom")


def parity_force(found: Parity) -> go.Figure:
    """Predicted against reference values of the largest force on an atom."""
    if not len(found.predicted):
        return empty(_NOTHING, height=360)
    figure = _parity(found, found.reference_force, found.predicted_force, None, "eV/Å")
    framed(
        figure,
        x="largest force, reference (eV/Å)",
        y="largest force, predicted (eV/Å)",
        height=380,
        name="parity-force",
    )
    errors = np.abs(found.predicted_force - found.reference_force)
    return _with_note(figure, f"mean |error| {1000 * errors.mean():.0f} meV/Å")


def calibration(found: Parity) -> go.Figure:
    """Errors that were made, against errors that the members' spread had announced."""
    if len(found.predicted) < _BINS:
        return empty(_NOTHING, height=360)
    errors, spread = 1000 * np.abs(found.errors), 1000 * found.spread
    figure = go.Figure()
    figure.add_scatter(
        x=spread,
        y=np.maximum(errors, 1e-3),
        mode="markers",
        name="one label",
        marker={"color": GREY, "size": 5, "opacity": 0.6},
        hovertemplate="spread %{x:.1f} meV/atom<br>error %{y:.1f} meV/atom<extra></extra>",
    )
    bins = [part for part in np.array_split(np.argsort(spread), _BINS) if len(part)]
    figure.add_scatter(
        x=[float(np.sqrt((spread[part] ** 2).mean())) for part in bins],
        y=[float(np.sqrt((errors[part] ** 2).mean())) for part in bins],
        mode="lines+markers",
        name="root mean square of a sixth",
        line={"color": BLUE, "width": 2.5},
        marker={"size": 9},
        hovertemplate="spread %{x:.1f} meV/atom<br>RMSE %{y:.1f} meV/atom<extra></extra>",
    )
    low, high = _limits(np.concatenate([spread[spread > 0], errors[errors > 0]]))
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        name="calibrated",
        line={"color": INK, "dash": "dot", "width": 1.2},
        hoverinfo="skip",
    )
    framed(
        figure,
        x="spread of the networks (meV/atom)",
        y="error (meV/atom)",
        height=380,
        name="calibration",
    )
    limits = [float(np.log10(low)), float(np.log10(high))]
    figure.update_xaxes(type="log", range=limits, dtick=1)
    figure.update_yaxes(type="log", range=limits, dtick=1)
    told = (
        f"within 1σ: {found.covered(1):.0%} (68 % if normal)<br>2σ: {found.covered(2):.0%} (95 %)"
    )
    return _with_note(figure, told, inside=True)


def _parity(
    found: Parity,
    x: np.ndarray,
    y: np.ndarray,
    error: dict[str, object] | None,
    unit: str,
) -> go.Figure:
    figure = go.Figure()
    both = np.concatenate([x, y])
    pad = 0.05 * max(float(np.ptp(both)), 1e-3)
    ends = [float(both.min() - pad), float(both.max() + pad)]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        showlegend=False,
        line={"color": INK, "dash": "dot", "width": 1.2},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        showlegend=False,
        error_y=error,
        marker={
            "color": found.iteration,
            "colorscale": SEQUENCE,
            "size": 7,
            "line": {"width": 0.5, "color": "white"},
            "colorbar": {
                "title": {"text": "iteration", "side": "right", "font": {"size": 12}},
                "thickness": 10,
                "outlinewidth": 0,
                "dtick": max(1, int(np.ptp(found.iteration)) // 5),
            },
        },
        customdata=found.iteration,
        hovertemplate=(
            f"reference %{{x:.4g}} {unit}<br>predicted %{{y:.4g}} {unit}"
            "<br>label of iteration %{customdata}<extra></extra>"
        ),
    )
    figure.update_xaxes(range=ends)
    figure.update_yaxes(range=ends)
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    return float(max(np.percentile(values, 1) / 2, 1e-2)), float(values.max() * 1.5)


def _with_note(figure: go.Figure, text: str, *, inside: bool = False) -> go.Figure:
    """Add a line above a figure, or in its lower right corner where a legend is above."""
    figure.add_annotation(
        text=text,
        x=0.99 if inside else 0,
        y=0.01 if inside else 1.02,
        xref="paper",
        yref="paper",
        xanchor="right" if inside else "left",
        align="right" if inside else "left",
        yanchor="bottom",
        showarrow=False,
        font={"size": 12, "family": FONT, "color": INK},
    )
    return figure
