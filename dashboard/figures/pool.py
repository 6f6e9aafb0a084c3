"""The pool: energies against volumes, and a map of the descriptors."""

import numpy as np
import plotly.graph_objects as go

from pyrite.dashboard.figures.style import GREY, INK, PALE, RANKED, empty, framed
from pyrite.dashboard.queries.pool import REST, Pool, components

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon2", "star")
_NOTHING = "This iteration has not relaxed any candidate yet."


def energy_volume(pool: Pool) -> go.Figure:
    """Energies against volumes where relaxations began (open) and ended (filled)."""
    if not pool.shown:
        return empty(_NOTHING, height=440)
    figure = go.Figure()
    told = "%{x:.2f} Å³/atom<br>%{y:.4f} eV/atom"
    known = np.isfinite(pool.energy_before)
    if known.any():
        before = (pool.volume_before, pool.energy_before)
        _add_clusters(figure, pool, *before, told, only=known, begun=True)
    _add_clusters(figure, pool, pool.volume, pool.energy, told)
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


def descriptor_map(pool: Pool) -> go.Figure:
    """Two principal components of the descriptors; what is labelled, and what will be."""
    if pool.shown < 3:
        return empty(_NOTHING, height=420)
    figure = go.Figure()
    flat, shares = components(pool.descriptor)
    _add_clusters(figure, pool, flat[:, 0], flat[:, 1], "PC %{x:.1f}, %{y:.1f}")
    for mask, name, symbol, size in (
        (pool.labelled, "labelled", "x-thin", 7),
        (pool.selected, "labelled next", "circle-open", 13),
    ):
        if mask.any():
            figure.add_scatter(
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
    framed(
        figure,
        x=f"component 1 ({100 * shares[0]:.0f} % of variance)",
        y=f"component 2 ({100 * shares[1]:.0f} % of variance)",
        height=440,
        name=f"map-{pool.iteration}",
    )
    figure.update_xaxes(range=_window(flat[:, 0], low=0.5, high=99.5))
    figure.update_yaxes(range=_window(flat[:, 1], low=0.5, high=99.5))
    return figure


def _add_clusters(
    figure: go.Figure,
    pool: Pool,
    x: np.ndarray,
    y: np.ndarray,
    told: str,
    *,
    only: np.ndarray | None = None,
    begun: bool = False,
) -> None:
    """Add the candidates, those of each top cluster in a colour and a shape.

    Parameters
    ----------
    only
        which ones; all, if None
    begun
        whether this is where relaxations began: open symbols of the same look, which the legend
        tells of once
    """
    shown = np.ones(pool.shown, dtype=bool) if only is None else only
    names = np.array(pool.ids)
    stops = np.array([stop.value for stop in pool.stop])
    groups = [(pool.cluster == REST, "others", PALE, "circle", 6)]
    for number in range(len(pool.top)):
        again, colour = divmod(number, len(RANKED))  # the eighth is blue, too, but no circle
        look = (RANKED[colour], _SYMBOLS[(colour + again) % len(_SYMBOLS)])
        groups.append((pool.cluster == number, f"#{number + 1}", *look, 9))
    present = [(group & shown, *look) for group, *look in groups if (group & shown).any()]
    for index, (mask, name, colour, symbol, size) in enumerate(present):
        edge = GREY if size < 9 else INK
        figure.add_scatter(
            x=x[mask],
            y=y[mask],
            mode="markers",
            name="before" if begun else name,
            legendgroup="before" if begun else name,
            showlegend=not begun or index == 0,
            marker={
                "color": (GREY if size < 9 else colour) if begun else colour,
                "symbol": f"{symbol}-open" if begun else symbol,
                "size": size - 1 if begun else size,
                "line": {"width": 1.2 if begun else 0.6, **({} if begun else {"color": edge})},
            },
            text=names[mask] if begun else np.char.add(np.char.add(names[mask], ", "), stops[mask]),
            hovertemplate="%{text}"
            + (", before" if begun else "")
            + f"<br>{told}<extra>{name}</extra>",
        )


def _window(values: np.ndarray, *, low: float, high: float) -> list[float]:
    """Limits that a few outliers cannot stretch; a double click on the axis shows them all."""
    values = values[np.isfinite(values)]
    if not len(values):
        return [0.0, 1.0]
    start, end = float(np.percentile(values, low)), float(np.percentile(values, high))
    pad = 0.06 * max(end - start, 1e-3)
    return [start - pad, end + pad]
