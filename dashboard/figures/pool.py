"""The pool: energies against volumes, and a map of the descriptors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pyrite.dashboard.figures.style import GREY, INK, PALE, RANKED, empty, framed
from pyrite.dashboard.queries.pool import REST, Pool, components

_MANY = 1500  # points, above which a browser draws them with WebGL
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon2", "star")
_NOTHING = "This iteration has not relaxed any candidate yet."


def energy_volume(pool: Pool, *, webgl: bool = True) -> go.Figure:
    """Energies against volumes where relaxations began (rings) and ended (filled)."""
    if not pool.shown:
        return empty(_NOTHING, height=420)
    figure = go.Figure()
    draw = _scatter(pool, webgl=webgl)
    known = np.isfinite(pool.energy_before)
    if known.any():
        figure.add_trace(
            draw(
                x=pool.volume_before[known],
                y=pool.energy_before[known],
                mode="markers",
                name="before",
                marker={"symbol": "circle-open", "size": 6, "color": GREY, "opacity": 0.7},
                text=np.array(pool.ids)[known],
                hovertemplate="%{text}, before<br>%{x:.2f} Å³/atom<br>%{y:.4f} eV/atom"
                "<extra></extra>",
            )
        )
    _add_clusters(figure, draw, pool, pool.volume, pool.energy, "%{x:.2f} Å³/atom<br>%{y:.4f} eV")
    framed(
        figure,
        x="volume (Å³/atom)",
        y="energy (eV/atom)",
        height=440,
        name=f"energy-volume-{pool.iteration}",
    )
    figure.update_yaxes(range=_window(pool.energy, low=0.0, high=95.0))
    figure.update_xaxes(range=_window(pool.volume, low=0.5, high=98.0))
    return figure


def descriptor_map(pool: Pool, *, webgl: bool = True) -> go.Figure:
    """Two principal components of the descriptors; what is labelled, and what will be."""
    if pool.shown < 3:
        return empty(_NOTHING, height=420)
    figure = go.Figure()
    draw = _scatter(pool, webgl=webgl)
    flat, shares = components(pool.descriptor)
    _add_clusters(figure, draw, pool, flat[:, 0], flat[:, 1], "PC %{x:.1f}, %{y:.1f}")
    for mask, name, symbol, size in (
        (pool.labelled, "labelled", "x-thin", 7),
        (pool.selected, "labelled next", "circle-open", 13),
    ):
        if mask.any():
            figure.add_trace(
                draw(
                    x=flat[mask, 0],
                    y=flat[mask, 1],
                    mode="markers",
                    name=name,
                    marker={
                        "symbol": symbol,
                        "size": size,
                        "color": INK,
                        "line": {"width": 1.6, "color": INK},
                    },
                    text=np.array(pool.ids)[mask],
                    hovertemplate="%{text}, " + name + "<extra></extra>",
                )
            )
    framed(
        figure,
        x=f"first component ({shares[0]:.0%} of the variance)",
        y=f"second component ({shares[1]:.0%})",
        height=440,
        name=f"map-{pool.iteration}",
    )
    figure.update_xaxes(range=_window(flat[:, 0], low=0.5, high=99.5))
    figure.update_yaxes(range=_window(flat[:, 1], low=0.5, high=99.5))
    return figure


def _scatter(pool: Pool, *, webgl: bool) -> Callable[..., Any]:
    chosen: Callable[..., Any] = go.Scattergl if webgl and pool.shown > _MANY else go.Scatter
    return chosen


def _add_clusters(
    figure: go.Figure,
    draw: Callable[..., Any],
    pool: Pool,
    x: np.ndarray,
    y: np.ndarray,
    told: str,
) -> None:
    names = np.array(pool.ids)
    stops = np.array([stop.value for stop in pool.stop])
    rest = pool.cluster == REST
    groups = [(rest, "others", PALE, "circle", 6)]
    for number in range(len(pool.top)):
        mask = pool.cluster == number
        look = (RANKED[number % len(RANKED)], _SYMBOLS[number % len(_SYMBOLS)])
        groups.append((mask, f"#{number + 1}", *look, 9))
    for mask, name, colour, symbol, size in groups:
        if mask.any():
            figure.add_trace(
                draw(
                    x=x[mask],
                    y=y[mask],
                    mode="markers",
                    name=name,
                    marker={
                        "color": colour,
                        "symbol": symbol,
                        "size": size,
                        "line": {"width": 0.6, "color": GREY if size < 9 else "white"},
                    },
                    text=np.char.add(np.char.add(names[mask], ", "), stops[mask]),
                    hovertemplate="%{text}<br>" + told + "<extra>" + name + "</extra>",
                )
            )


def _window(values: np.ndarray, *, low: float, high: float) -> list[float]:
    """Limits that a few outliers cannot stretch; a double click on the axis shows them all."""
    values = values[np.isfinite(values)]
    if not len(values):
        return [0.0, 1.0]
    start, end = float(np.percentile(values, low)), float(np.percentile(values, high))
    pad = 0.06 * max(end - start, 1e-3)
    return [start - pad, end + pad]
