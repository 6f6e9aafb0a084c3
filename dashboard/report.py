"""A search on one page that needs no server, and its figures as files for a publication."""

import html
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pyrite.errors import ConfigError
from pyrite.views import Views

if TYPE_CHECKING:
    import plotly.graph_objects as go

type Format = Literal["html", "pdf", "png"]

_CRYSTALS = 3  # shown in three dimensions, from the top of the ranking
_WIDTHS = {"energies": 640, "workflow": 900}
_WIDTH = 480  # pixels of 1/96 inch: 5 inches
_SCALE = 3.125  # 300 dots per inch
# Only what the file itself holds: nothing is loaded, nothing is sent.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)


@dataclass(frozen=True)
class Part:
    """One figure of a report; ``slug`` names its file."""

    slug: str
    title: str
    about: str
    figure: "go.Figure"


def write_report(views: Views, name: str, output: Path, fmt: Format) -> list[Path]:
    """Write the report of a search.

    Parameters
    ----------
    output
        a file for HTML; a directory for PDF and PNG, which give one file for each figure

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    StoreError
        There is no search of that name.
    ConfigError
        The output cannot be written, or there is no browser to draw with.
    """
    views.store.get_search(name)
    parts = list(figures(views, name))
    try:
        if fmt == "html":
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(page(views, name, parts), encoding="utf-8")
            return [output]
        output.mkdir(parents=True, exist_ok=True)
        return _draw(parts, output, name, fmt)
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename or output} ({error.strerror}); choose another -o"
        ) from None


def figures(views: Views, name: str) -> Iterable[Part]:
    """The dashboard's figures."""
    from pyrite.dashboard.figures import costs as cost_figures
    from pyrite.dashboard.figures import learning as learning_figures
    from pyrite.dashboard.figures import loop as loop_figures
    from pyrite.dashboard.figures import pool as pool_figures
    from pyrite.dashboard.figures import workflow as workflow_figures
    from pyrite.dashboard.pages import learning as learning_page
    from pyrite.dashboard.pages import overview, pool, tasks
    from pyrite.dashboard.queries.costs import costs
    from pyrite.dashboard.queries.fireworks import flow
    from pyrite.dashboard.queries.learning import learning_curve, parity
    from pyrite.dashboard.queries.loop import loop
    from pyrite.dashboard.queries.pool import outcomes
    from pyrite.dashboard.queries.pool import pool as read_pool

    looped, spent, known = loop(views, name), costs(views, name), parity(views, name)
    yield Part("energies", "Energies", overview.ABOUT_ENERGIES, loop_figures.energies(looped))
    yield Part(
        "convergence",
        "Convergence test",
        overview.verdict(views, name),
        loop_figures.agreement(looped),
    )
    yield Part(
        "outcomes",
        "Relaxations",
        overview.ABOUT_OUTCOMES,
        loop_figures.outcomes(outcomes(views, name)),
    )
    yield Part("labels", "Labels by the reference", "", loop_figures.labels(spent))
    yield Part("ledger", "Time", overview.ABOUT_LEDGER, cost_figures.ledger(spent))
    curves = learning_figures.curves(learning_curve(views, name))
    yield Part("curves", "Learning curves", learning_page.ABOUT_CURVES, curves)
    told = f"{learning_page.ABOUT_PARITY} {learning_page.unpredicted(known)}"
    yield Part("parity-energy", "Energies", told, learning_figures.parity_energy(known))
    about = learning_page.ABOUT_FORCE
    yield Part("parity-force", "Forces", about, learning_figures.parity_force(known))
    about = learning_page.ABOUT_CALIBRATION
    for slug, title, draw in (
        ("calibration-energy", "Uncertainty of energies", learning_figures.calibration_energy),
        ("calibration-force", "Uncertainty of forces", learning_figures.calibration_force),
    ):
        yield Part(slug, title, about, draw(known))
    clustered = [one for one in views.iterations(name) if one.get("clusters") is not None]
    if clustered:
        last = read_pool(views, name, int(clustered[-1]["iteration"]))
        volumes = pool_figures.energy_volume(last)
        yield Part("energy-volume", "Energy and volume", pool.shown(last), volumes)
        mapped = pool_figures.descriptor_map(last)
        yield Part("map", "Map of the descriptors", pool.ABOUT_MAP, mapped)
    workflow = workflow_figures.workflow(flow(views, name))
    yield Part("workflow", "Workflow", tasks.ABOUT.partition(" Click")[0], workflow)
    yield from _crystals(views, name)


def _crystals(views: Views, name: str) -> Iterable[Part]:
    from pyrite.dashboard.figures.crystal import powder, structure
    from pyrite.dashboard.queries.structures import content, crystals, pattern

    symprec = views.store.get_search(name).config.validation.symprec
    for one in crystals(views, name).entries[:_CRYSTALS]:
        title = f"{one.place}. {one.group}"
        slug = f"crystal-{one.place}"
        yield Part(slug, title, content(one.crystal), structure(one.crystal))
        yield Part(
            f"{slug}-powder",
            f"{title}: powder pattern",
            f"Of the conventional cell, symmetrised within {symprec:g} Å.",
            powder(pattern(one.crystal, symprec)),
        )


# ------------------------------------------------------------------------- HTML


def page(views: Views, name: str, parts: Sequence[Part]) -> str:
    """One file with everything in it, plotly.js once."""
    from plotly.offline import get_plotlyjs

    search = views.store.get_search(name)
    drawn = "\n".join(_section(part) for part in parts)
    said = f"<p class='error'>{_text(search.error)}</p>" if search.error else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{_text(name)} – Pyrite</title>
<link rel="icon" href="data:,">
<style>
{_style()}
</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<main>
<div class="title"><h1>{_text(name)}</h1>
<span class="composition">{_text(search.config.composition)}</span>
<span class="chip {search.state.value}">{search.state.value}</span></div>
<p class="about">Written by Pyrite on {time.strftime("%Y-%m-%d %H:%M %Z")}.</p>
{said}
<div class="body">
{_ranking(views, name)}
{_ledger(views, name)}
{drawn}
{_settings(views, name)}
</div>
</main>
</body>
</html>
"""


def _section(part: Part) -> str:
    from pyrite.dashboard.figures.style import CONFIG

    drawn = part.figure.to_html(
        full_html=False, include_plotlyjs=False, config=CONFIG, div_id=part.slug
    )
    about = f'<p class="about">{_text(part.about)}</p>' if part.about else ""
    wide = " wide" if part.slug in _WIDTHS else ""
    return f'<section class="card{wide}"><h2>{_text(part.title)}</h2>{about}{drawn}</section>'


def _ranking(views: Views, name: str) -> str:
    from pyrite.dashboard.pages.crystals import HEADINGS, ranking_rows, told
    from pyrite.dashboard.queries.structures import crystals

    found = crystals(views, name)
    rows = _table(HEADINGS, ranking_rows(found)) if found.entries else ""
    about = f'<p class="about">{_text(told(found))}</p>'
    return f'<section class="card wide"><h2>Crystals</h2>{about}{rows}</section>'


def _ledger(views: Views, name: str) -> str:
    from pyrite.dashboard.queries.costs import KINDS, costs

    spent = costs(views, name)
    rows = [
        [
            str(k),
            str(spent.labels.get(k, 0)),
            str(spent.failed.get(k, 0)),
            str(spent.calls.get(k, 0)),
            *(f"{spent.seconds[kind].get(k, 0.0):.1f}" for kind in KINDS),
        ]
        for k in spent.iterations
    ]
    sums = (spent.labels, spent.failed, spent.calls)
    rows.append(
        [
            "all",
            *(str(sum(one.values())) for one in sums),
            *(f"{spent.of_kind(kind):.1f}" for kind in KINDS),
        ]
    )
    headings = ("iteration", "labels", "failed", "reference calls", *(f"{k} (s)" for k in KINDS))
    problems = "".join(f"<li>{count} failed: {_text(why)}</li>" for why, count in spent.problems)
    return (
        f'<section class="card wide"><h2>Ledger</h2>{_table(headings, rows)}'
        f"<ul>{problems}</ul></section>"
    )


def _settings(views: Views, name: str) -> str:
    from pyrite.dashboard.queries.settings import provenance_rows, settings_text

    facts = "".join(
        f"<div><dt>{_text(key)}</dt><dd>{_text(value)}</dd></div>"
        for key, value in provenance_rows(views, name)
    )
    settings = _text(settings_text(views.store.get_search(name).config))
    return (
        '<section class="card wide"><h2>Settings, versions and seed</h2>'
        f'<dl class="facts">{facts}</dl><pre>{settings}</pre></section>'
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(cells: Iterable[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{_text(one)}</{kind}>" for one in cells) + "</tr>"

    body = "".join(row(one, "td") for one in rows)
    head = row(headings, "th")
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _text(value: str) -> str:
    return html.escape(value)


def _style() -> str:
    return (Path(__file__).resolve().parent / "assets" / "style.css").read_text(encoding="utf-8")


# ------------------------------------------------------------------------- files


def _draw(parts: Sequence[Part], directory: Path, name: str, fmt: Format) -> list[Path]:
    kaleido, not_found = _kaleido()
    paths = [directory / f"{name}-{part.slug}.{fmt}" for part in parts]
    orders = [
        {
            "fig": _for_paper(part),
            "path": str(path),
            "opts": {
                "format": fmt,
                "width": _WIDTHS.get(part.slug, _WIDTH),
                "height": int(part.figure.layout.height),
                "scale": 1 if fmt == "pdf" else _SCALE,
            },
        }
        for part, path in zip(parts, paths, strict=True)
    ]
    try:
        # By default Kaleido would load MathJax from the internet.
        kaleido(orders, kopts={"mathjax": False}, cancel_on_error=True)
    except not_found:
        raise ConfigError(
            f"--format {fmt} draws with Chromium or Chrome, and neither is installed; install "
            "one (Debian, Ubuntu: apt-get install chromium), name it in BROWSER_PATH, or take "
            "--format html"
        ) from None
    return paths


def _kaleido() -> tuple[Callable[..., object], type[Exception]]:
    try:
        from choreographer.errors import ChromeNotFoundError
        from kaleido import write_fig_from_object_sync
    except ImportError as error:
        raise ConfigError(
            f"the report's files need {error.name}, which is not installed; install it with: "
            'pip install "pyrite-csp[dashboard]"'
        ) from None
    return write_fig_from_object_sync, ChromeNotFoundError


def _for_paper(part: Part) -> "go.Figure":
    """The same figure in black and in the typeface of most journals."""
    import plotly.graph_objects as go

    figure = go.Figure(part.figure)
    figure.update_layout(font={"family": "Arial, Helvetica, sans-serif", "color": "black"})
    return figure
