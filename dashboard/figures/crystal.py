"""A crystal in three dimensions, and its powder pattern."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pyrite.dashboard.figures.style import BLUE, FONT, INK, empty, framed
from pyrite.dashboard.queries.structures import TWO_THETA, Pattern
from pyrite.documents import Crystal

type Array = np.ndarray[Any, np.dtype[np.float64]]

_BALL = 0.42  # of the covalent radius
_STICK = 0.11  # Å
_BOND = 1.15  # longest bond, in sums of covalent radii
_EDGE = 1e-2  # fractional; atoms that close to a face are drawn on the opposite one, too
_MOST_ATOMS = 400
_LIGHT = {"ambient": 0.9, "diffuse": 0.4, "specular": 0.18, "roughness": 0.6, "fresnel": 0.05}
# Okabe and Ito's for what a cell may hold, by order of the elements.
_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442", "#0072B2")


def structure(crystal: Crystal, *, height: int = 420) -> go.Figure:
    """Balls, sticks and the cell; atoms on faces are repeated, radii and axes in Å."""
    from ase.data import chemical_symbols, covalent_radii

    numbers, positions = _with_images(crystal)
    radii = np.array([covalent_radii[number] for number in numbers])
    figure = go.Figure()
    elements = sorted(set(numbers.tolist()))
    for index, element in enumerate(elements):
        mine = numbers == element
        colour = _COLOURS[index % len(_COLOURS)]
        radius = max(_BALL * float(covalent_radii[element]), 0.3)
        figure.add_trace(_balls(positions[mine], radius, colour, chemical_symbols[element]))
        figure.add_scatter3d(  # meshes have no legend of their own
            x=[None],
            y=[None],
            z=[None],
            mode="markers",
            name=chemical_symbols[element],
            marker={"color": colour, "size": 10},
        )
    sticks = _bonds(positions, radii)
    if len(sticks):
        figure.add_trace(_sticks(sticks))
    figure.add_trace(_cell_edges(np.asarray(crystal.cell)))
    hidden = {"visible": False, "showspikes": False}
    figure.update_layout(
        template="none",
        font={"family": FONT, "size": 13, "color": INK},
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="white",
        scene={
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": hidden,
            "aspectmode": "data",
            "camera": {
                "projection": {"type": "orthographic"},
                "eye": {"x": 1.15, "y": 0.45, "z": 0.35},
            },
        },
        legend={"x": 0, "y": 1, "font": {"size": 14}, "itemsizing": "constant"},
        uirevision="same",
    )
    return figure


def powder(pattern: Pattern) -> go.Figure:
    """Lines of the simulated powder pattern; the strongest ones have their indices."""
    if not pattern.angles:
        return empty("No reflections in this range.")
    strongest = sorted(pattern.intensities, reverse=True)[:6][-1]
    figure = go.Figure()
    x: list[float | None] = []
    y: list[float | None] = []
    for angle, intensity in zip(pattern.angles, pattern.intensities, strict=True):
        x += [angle, angle, None]
        y += [0.0, intensity, None]
    figure.add_scatter(x=x, y=y, mode="lines", line={"color": BLUE, "width": 2}, hoverinfo="skip")
    figure.add_scatter(
        x=pattern.angles,
        y=pattern.intensities,
        mode="markers+text",
        marker={"color": BLUE, "size": 4},
        text=_spaced(pattern, max(strongest, 5.0)),
        textposition="top center",
        textfont={"size": 11},
        cliponaxis=False,
        customdata=pattern.indices,
        hovertemplate="(%{customdata})<br>2θ %{x:.2f}°<br>%{y:.0f} %<extra></extra>",
    )
    framed(figure, x="2θ (degrees, Cu Kα)", y="intensity (%)", height=420, name="powder")
    figure.update_layout(showlegend=False, margin={"t": 24})
    figure.update_xaxes(range=list(TWO_THETA))
    figure.update_yaxes(range=[0, 115])
    return figure


def _spaced(pattern: Pattern, least: float) -> list[str]:
    """Indices of strong lines that have room for them, the strongest first."""
    texts = [""] * len(pattern.angles)
    taken: list[float] = []
    for index in np.argsort(pattern.intensities)[::-1].tolist():
        angle = pattern.angles[index]
        if pattern.intensities[index] < least or any(abs(angle - one) < 5 for one in taken):
            continue
        taken.append(angle)
        texts[index] = pattern.indices[index]
    return texts


def _with_images(crystal: Crystal) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Array]:
    """Atoms of the cell and, of those on its faces, the equivalent ones on the other side."""
    cell = np.asarray(crystal.cell, dtype=float)
    scaled = np.linalg.solve(cell.T, np.asarray(crystal.positions, dtype=float).T).T % 1.0
    scaled[scaled > 1 - _EDGE] -= 1.0  # just below a face is on it
    numbers, places = [], []
    for number, place in zip(crystal.numbers, scaled, strict=True):
        sides = [(0, 1) if abs(x) < _EDGE else (0,) for x in place]
        for shift in product(*sides):
            numbers.append(number)
            places.append(place + shift)
    kept = slice(0, _MOST_ATOMS)
    return np.array(numbers)[kept], (np.array(places) @ cell)[kept]


def _bonds(positions: Array, radii: Array) -> Array:
    """Ends of the bonds between drawn atoms, (n, 2, 3), Å."""
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    longest = _BOND * (radii[:, None] + radii[None])
    first, second = np.nonzero(np.triu((distance < longest) & (distance > 0.4), k=1))
    return np.stack([positions[first], positions[second]], axis=1)


@cache
def _sphere() -> tuple[Array, np.ndarray[Any, np.dtype[np.int64]]]:
    """Vertices and faces of a unit sphere: an icosahedron, its faces divided twice."""
    golden = (1 + 5**0.5) / 2
    vertices: list[tuple[float, float, float]]
    vertices = [(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)]
    vertices += [(0, -1, golden), (0, 1, golden), (0, -1, -golden), (0, 1, -golden)]
    vertices += [(golden, 0, -1), (golden, 0, 1), (-golden, 0, -1), (-golden, 0, 1)]
    points = [np.array(one, dtype=float) / np.hypot(1, golden) for one in vertices]
    distance = np.linalg.norm(np.array(points)[:, None] - np.array(points)[None], axis=-1)
    near = (distance > 0) & (distance < 1.1)
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    for _ in range(2):
        middles: dict[tuple[int, int], int] = {}

        def middle(a: int, b: int, known: dict[tuple[int, int], int] = middles) -> int:
            pair = (min(a, b), max(a, b))
            if pair not in known:
                point = points[a] + points[b]
                points.append(point / np.linalg.norm(point))
                known[pair] = len(points) - 1
            return known[pair]

        halved = [(face, [middle(face[n], face[(n + 1) % 3]) for n in range(3)]) for face in faces]
        faces = [
            part
            for (a, b, c), (ab, bc, ca) in halved
            for part in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))
        ]
    outward = [
        face if np.linalg.det(np.array([points[n] for n in face])) > 0 else face[::-1]
        for face in faces
    ]
    return np.array(points), np.array(outward)


def _balls(centres: Array, radius: float, colour: str, name: str) -> go.Mesh3d:
    points, faces = _sphere()
    vertices = (centres[:, None] + radius * points[None]).reshape(-1, 3)
    shifted = (faces[None] + len(points) * np.arange(len(centres))[:, None, None]).reshape(-1, 3)
    return _mesh(vertices, shifted, colour, name)


def _sticks(ends: Array) -> go.Mesh3d:
    """Thin six-sided rods."""
    axis = ends[:, 1] - ends[:, 0]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    helper = np.where(np.abs(axis[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    side = np.cross(axis, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(axis, side)
    angles = np.arange(6) * np.pi / 3
    ring = np.cos(angles)[:, None] * side[:, None] + np.sin(angles)[:, None] * other[:, None]
    vertices = (ends[:, :, None] + _STICK * ring[:, None]).reshape(-1, 3)
    corners = [(n, (n + 1) % 6, n + 6) for n in range(6)]
    corners += [((n + 1) % 6, (n + 1) % 6 + 6, n + 6) for n in range(6)]
    faces = (np.array(corners)[None] + 12 * np.arange(len(ends))[:, None, None]).reshape(-1, 3)
    return _mesh(vertices, faces, "#AEB6BF", "bonds")


def _mesh(
    vertices: Array, faces: np.ndarray[Any, np.dtype[np.int64]], colour: str, name: str
) -> go.Mesh3d:
    single = vertices.astype(np.float32)
    i, j, k = faces.astype(np.int32).T
    return go.Mesh3d(
        x=single[:, 0],
        y=single[:, 1],
        z=single[:, 2],
        i=i,
        j=j,
        k=k,
        color=colour,
        name=name,
        flatshading=False,
        lighting=_LIGHT,
        lightposition={"x": 2000, "y": 1000, "z": 3000},
        hoverinfo="name" if name != "bonds" else "skip",
    )


def _cell_edges(cell: Array) -> go.Scatter3d:
    corners = np.array(list(product((0, 1), repeat=3)), dtype=float)
    lines: list[list[float | None]] = []
    for start in corners:
        for axis in range(3):
            if start[axis] == 0:
                end = start.copy()
                end[axis] = 1
                lines += [(start @ cell).tolist(), (end @ cell).tolist(), [None, None, None]]
    x, y, z = zip(*lines, strict=True)
    return go.Scatter3d(
        x=x,
        y=y,
        z=z,
        mode="lines",
        line={"color": INK, "width": 3},
        hoverinfo="skip",
        showlegend=False,
    )
