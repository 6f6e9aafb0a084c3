"""The command line: ``pyrite``.

Nothing heavy is imported before a command needs it, so that ``pyrite --help``
answers at once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pyrite import __version__
from pyrite.errors import UserError
from pyrite.launchers.cluster import cluster_app
from pyrite.launchers.endings import stoppable, told
from pyrite.launchers.formats import Format, ReportFormat
from pyrite.launchers.options import (
    HOME,
    Composition,
    Home,
    Name,
    Preset,
    SearchFile,
    SearchName,
    Seed,
)
from pyrite.launchers.store_commands import store_app
from pyrite.launchers.worker_commands import maintain, work

if TYPE_CHECKING:
    from pyrite.config import SearchConfig
    from pyrite.launchers.runner import Starts
    from pyrite.launchers.session import Session
    from pyrite.results import Result

app = typer.Typer(
    name="pyrite",
    help="Find the stable crystal structures of a composition by active learning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(store_app, name="store")
app.add_typer(cluster_app, name="cluster")


@app.callback(invoke_without_command=True)
def pyrite(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Find the stable crystal structures of a composition by active learning."""
    if version:
        typer.echo(f"pyrite {__version__}")
        raise typer.Exit


@app.command()
def run(
    search: SearchFile = None,
    composition: Composition = None,
    preset: Preset = None,
    seed: Seed = None,
    name: Name = None,
    home: Home = HOME,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    live: Annotated[
        bool, typer.Option(help="Live view; without it, and in pipes, one line per event.")
    ] = True,
) -> None:
    """Run a search to its end; the same command resumes one that was stopped."""
    from pyrite.launchers.live_view import make_view

    console = Console()
    with stoppable(console):
        config, starts = _prepare(search, composition, preset, seed, name)
        with _added(config, starts, home) as session:
            result = session.store.result(str(config.name))
            if result is None:
                with make_view(console, live=live) as view:
                    result = _run(session, config, workers, view)
        _show(console, result)


@app.command()
def write(
    search: SearchFile = None,
    composition: Composition = None,
    preset: Preset = None,
    seed: Seed = None,
    name: Name = None,
    home: Home = HOME,  # noqa: ARG001  # every command takes it
    workers: Annotated[int, typer.Option(min=1, hidden=True)] = 2,  # noqa: ARG001
    output: Annotated[Path, typer.Option("-o", "--output", help="Workflow file.")] = Path(
        "wf.yaml"
    ),
) -> None:
    """Write a search as a FireWorks workflow file, for lpad add; needs no database."""
    from pyrite.errors import ConfigError

    config, starts = _prepare(search, composition, preset, seed, name)
    if output.suffix not in {".yaml", ".json"}:
        raise ConfigError(f"-o is {output}, but must end in .yaml or .json, which FireWorks reads")
    from pyrite.models.quiet import quietly

    try:
        with quietly():  # torch's and others' complaints at import
            from pyrite.workflows.search import search_workflow

            search_workflow(config, *starts).to_file(str(output))
    except OSError as error:
        raise ConfigError(f"cannot write {output} ({error.strerror}); choose another -o") from None
    Console().print(
        f"wrote {config.name} to {output}; add it with: lpad -l my_launchpad.yaml add {output}",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def add(
    search: SearchFile = None,
    composition: Composition = None,
    preset: Preset = None,
    seed: Seed = None,
    name: Name = None,
    home: Home = HOME,
) -> None:
    """Add a search to the store, for workers of your own; pyrite run would run it."""
    from pyrite.settings import settings

    config, starts = _prepare(search, composition, preset, seed, name)
    with _added(config, starts, home) as session:
        place = session.store.address if settings().uri else f"the store of {home}"
    Console().print(
        f"{config.name} is in {place}; pyrite work and pyrite run take its tasks",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    home: Home = HOME,
) -> None:
    """Show the searches of a store, and why one failed."""
    from pyrite.launchers.session import attached
    from pyrite.launchers.steering import is_left_alone
    from pyrite.launchers.tables import problem_lines, status_table

    console = Console()
    with attached(home, create=False) as session:
        store = session.store
        searches = store.list_searches() if name is None else [store.get_search(name)]
        progress = [store.progress(search.search_id) for search in searches]
        alone = [search.search_id for search in searches if is_left_alone(session, search)]
    if not searches:
        console.print("there are no searches yet")
        return
    console.print(status_table(searches, progress))
    for search, now in zip(searches, progress, strict=True):
        said = [search.error] if search.error else []
        for line in [*said, *problem_lines(now.label_problems)]:
            console.print(f"{search.search_id}: {line.strip()}", markup=False, soft_wrap=True)
    for lonely in alone:
        console.print(
            f"{lonely}: nobody is at work on it; pyrite run goes on, or a worker beside "
            "pyrite maintain",
            markup=False,
            soft_wrap=True,
        )


@app.command()
def doctor(
    search: SearchFile = None,
    composition: Composition = None,
    preset: Preset = None,
    home: Home = HOME,
) -> None:
    """Check what a search needs of this machine, and say what to do about the rest."""
    from pyrite.launchers.doctor import Verdict, examine
    from pyrite.launchers.tables import findings_table
    from pyrite.search_file import load_search

    given = search or composition or preset
    config = load_search(search, preset=preset, composition=composition) if given else None
    findings = list(examine(home, config))
    Console().print(findings_table(findings))
    if any(one.verdict is Verdict.MISSING for one in findings):
        raise typer.Exit(UserError.exit_code)


@app.command()
def results(
    name: SearchName,
    json: Annotated[bool, typer.Option("--json", help="For programs; one JSON document.")] = False,
    home: Home = HOME,
) -> None:
    """Show the ranking of a search and what it spent."""
    from pyrite.launchers.session import attached
    from pyrite.launchers.tables import results_document

    with attached(home, create=False) as session:
        if json:
            import json as json_module

            document = results_document(session.store, name)
            sys.stdout.write(json_module.dumps(document, indent=2) + "\n")
            return
        result = _finished(session, name)
    _show(Console(), result)


@app.command()
def replay(
    name: SearchName,
    search: SearchFile = None,
    calculate: Annotated[
        bool, typer.Option("--calculate", help="Let the reference make what is missing.")
    ] = False,
    home: Home = HOME,
) -> None:
    """Search again with the labels of a search: as it was, or by the rules of a file."""
    from pyrite.launchers.replay import replay as replay_search
    from pyrite.launchers.session import attached
    from pyrite.launchers.tables import replay_table

    console = Console()
    with (
        stoppable(console, "a replay keeps nothing, the same command begins anew"),
        attached(home, create=False) as session,
    ):
        result = replay_search(session.store, name, search, console, calculate=calculate)
        recorded = session.store.result(name)
    console.print(replay_table(name, recorded, result))


app.command()(maintain)
app.command()(work)


@app.command()
def remove(name: SearchName, home: Home = HOME) -> None:
    """Remove a search, its records and its workflow from the store."""
    from pyrite.launchers.runner import remove_search
    from pyrite.launchers.session import attached, sole_runner

    with attached(home, create=False) as session, sole_runner(session.home, name):
        remove_search(session, name)
    Console().print(f"removed {name}", markup=False)


@app.command()
def export(
    name: SearchName,
    format: Annotated[Format, typer.Option(help="Format of the files.")] = Format.CIF,  # noqa: A002
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory.")] = Path(),
    home: Home = HOME,
) -> None:
    """Write the ranked crystals of a search to files."""
    from pyrite.launchers.export import export as export_result
    from pyrite.launchers.session import attached

    with attached(home, create=False) as session:
        result = _finished(session, name)
    for path in export_result(result, format, output):
        typer.echo(path)


@app.command()
def dashboard(
    home: Home = HOME,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback need a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8050,
) -> None:
    """Show the searches of a store as web pages, until Ctrl-C."""
    from pyrite.launchers.dashboard_commands import show

    console = Console()

    def tell(address: str) -> None:
        console.print(f"the dashboard of {home} is at {address} (Ctrl-C ends it)", soft_wrap=True)

    with stoppable(console):
        show(home, host, port, tell)


@app.command()
def report(
    name: SearchName,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="File (html) or directory (pdf, png).", show_default="NAME.html"
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        ReportFormat, typer.Option(help="One page, or every figure as a file.")
    ] = ReportFormat.HTML,
    home: Home = HOME,
) -> None:
    """Write figures, ranking, ledger, settings and versions of a search as one HTML file."""
    from pyrite.launchers.dashboard_commands import report as write_report

    for path in write_report(home, name, output, format):
        typer.echo(path)


def main() -> None:
    """Entry point: errors become one sentence on stderr and an exit code."""
    with told():
        app(prog_name="pyrite")


# --------------------------------------------------------------------- steps


def _prepare(
    path: Path | None,
    composition: str | None,
    preset: str | None,
    seed: int | None,
    name: str | None,
) -> "tuple[SearchConfig, Starts]":
    """Read and check everything that the user gave, before anything is created."""
    from pyrite.launchers.runner import preflight
    from pyrite.search_file import load_search

    config = load_search(path, preset=preset, composition=composition, seed=seed, name=name)
    return config, preflight(config)


@contextmanager
def _added(config: "SearchConfig", starts: "Starts", home: Path) -> "Iterator[Session]":
    """A session in which the search exists and nobody else runs it."""
    from pyrite.launchers.runner import add_search
    from pyrite.launchers.session import attached, keep, sole_runner

    with attached(home, create=True) as session, sole_runner(session.home, str(config.name)):
        add_search(session, config, starts)
        keep(session.home)
        yield session


def _run(session: "Session", config: "SearchConfig", workers: int, view: Any) -> "Result":
    from pyrite.launchers.runner import Runner

    return Runner(session, config, workers, view).run()


def _finished(session: "Session", name: str) -> "Result":
    search, result = session.store.get_search(name), session.store.result(name)
    if result is None:
        why = f": {search.error}" if search.error else ""
        raise UserError(
            f"search {name} has no ranking yet, it is {search.state.value}{why}; "
            "pyrite run with its settings runs or resumes it"
        )
    return result


def _show(console: Console, result: "Result") -> None:
    from pyrite.launchers.tables import ledger_lines, ranking_table

    console.print(ranking_table(result))
    for line in ledger_lines(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
