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
from pyrite.dashboard.queries.learning import Compared, Errors, Parity

_NOTHING = "No label was predicted before it was made: this needs a second iteration."
_BINS = 6
_MOST = 800
"""Points in one figure."""
_HEIGHT = 420


def curves(errors: tuple[Errors, ...]) -> go.Figure:
    """Held-out errors of energies, forces and stresses of every network, by iteration."""
    if not errors:
        return empty("No network has been trained yet.")
    panels = (
        ("energy error (meV/atom)", [1000 * one.energy for one in errors]),
        ("force error (meV/Å)", [1000 * one.force for one in errors]),
        ("stress error (meV/Å³)", [1000 * one.stress for one in errors]),
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
    framed(figure, height=660, name="curves")
    for row, (title, _) in enumerate(panels, start=1):
        figure.update_yaxes(title_text=title, title_font_size=12, rangemode="tozero", row=row)
    whole_numbers(figure, int(numbers.max()))
    figure.update_xaxes(title_text="iteration, and labels by then", row=3)
    step = int(figure.layout.xaxis3.dtick)
    shown = [int(k) for k in numbers if k % step == 0]
    ticks = [f"{k}<br>({labels[k]})" for k in shown]
    figure.update_xaxes(tickmode="array", tickvals=shown, ticktext=ticks, row=3)
    return figure


def parity_energy(found: Parity) -> go.Figure:
    """Predicted against reference energies, with the members' spread."""
    return _parity(found.energy, "energy", "eV/atom", "parity-energy", bars=True)


def parity_force(found: Parity) -> go.Figure:
    """Predicted against reference values of the components of forces."""
    return _parity(found.force, "force component", "eV/Å", "parity-force", bars=False)


def calibration_energy(found: Parity) -> go.Figure:
    """Errors of energies, against those that the members' spread had announced."""
    return _calibration(found.energy, "energy", "meV/atom", "one label", "calibration-energy")


def calibration_force(found: Parity) -> go.Figure:
    """The same for components of forces."""
    return _calibration(found.force, "force", "meV/Å", "one component", "calibration-force")


def _calibration(found: Compared, what: str, unit: str, one: str, name: str) -> go.Figure:
    if len(found) < _BINS:
        return empty(_NOTHING, height=_HEIGHT)
    errors, spread = 1000 * np.abs(found.errors), 1000 * found.spread
    few = found.thinned(_MOST)
    figure = go.Figure()
    figure.add_scatter(
        x=1000 * few.spread,
        y=np.maximum(1000 * np.abs(few.errors), 1e-3),
        mode="markers",
        name=one,
        marker={"color": GREY, "size": 5, "opacity": 0.5},
        hovertemplate=f"spread %{{x:.1f}} {unit}<br>error %{{y:.1f}} {unit}<extra></extra>",
    )
    bins = [part for part in np.array_split(np.argsort(spread), _BINS) if len(part)]
    figure.add_scatter(
        x=[float(np.sqrt((spread[part] ** 2).mean())) for part in bins],
        y=[float(np.sqrt((errors[part] ** 2).mean())) for part in bins],
        mode="lines+markers",
        name="root mean square of a sixth",
        line={"color": BLUE, "width": 2.5},
        marker={"size": 9},
        hovertemplate=f"spread %{{x:.1f}} {unit}<br>RMSE %{{y:.1f}} {unit}<extra></extra>",
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
        x=f"{what} spread ({unit})",
        y=f"{what} error ({unit})",
        height=_HEIGHT,
        name=name,
    )
    limits = [float(np.log10(low)), float(np.log10(high))]
    # Of less than two decades the twos and fives are named, too.
    step = 1 if limits[1] - limits[0] > 2 else "D2"
    figure.update_xaxes(type="log", range=limits, dtick=step)
    figure.update_yaxes(type="log", range=limits, dtick=step)
    told = (
        f"within 1σ: {found.covered(1):.0%} (68 % if normal)<br>2σ: {found.covered(2):.0%} (95 %)"
    )
    return _with_note(figure, told.replace("%", " %").replace("  %", " %"), inside=True)


def _parity(found: Compared, what: str, unit: str, name: str, *, bars: bool) -> go.Figure:
    if not len(found):
        return empty(_NOTHING, height=_HEIGHT)
    few = found.thinned(_MOST)
    figure = go.Figure()
    both = np.concatenate([found.predicted, found.reference])
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
    error = {"type": "data", "array": few.spread, "color": "#9AA5B1", "thickness": 1}
    figure.add_scatter(
        x=few.reference,
        y=few.predicted,
        mode="markers",
        showlegend=False,
        error_y=error if bars else None,
        marker={
            "color": few.iteration,
            "colorscale": SEQUENCE,
            "size": 7 if bars else 5,
            "line": {"width": 0.5, "color": INK},
            "colorbar": {
                "title": {"text": "iteration", "side": "right", "font": {"size": 12}},
                "thickness": 10,
                "outlinewidth": 0,
                "dtick": max(1, int(np.ptp(found.iteration)) // 5),
            },
        },
        customdata=few.iteration,
        hovertemplate=(
            f"reference %{{x:.4g}} {unit}<br>predicted %{{y:.4g}} {unit}"
            "<br>label of iteration %{customdata}<extra></extra>"
        ),
    )
    framed(
        figure,
        x=f"reference {what} ({unit})",
        y=f"predicted {what} ({unit})",
        height=_HEIGHT,
        name=name,
    )
    figure.update_xaxes(range=ends)
    figure.update_yaxes(range=ends)
    mean, root = np.abs(found.errors).mean(), np.sqrt((found.errors**2).mean())
    return _with_note(figure, f"MAE {1000 * mean:.1f}, RMSE {1000 * root:.1f} m{unit}")


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
        bgcolor="rgba(255, 255, 255, 0.8)",
    )
    return figure
