"""``pyrite store start|stop|status``."""

from typing import Annotated

import typer

from pyrite.launchers.options import HOME, Home

store_app = typer.Typer(help="The embedded database.", no_args_is_help=True)


@store_app.command()
def start(
    home: Home = HOME,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port on 127.0.0.1; default: the last one, or any."),
    ] = None,
) -> None:
    """Start the database, unless it runs, and write my_launchpad.yaml and my_fworker.yaml."""
    from fireworks import LaunchPad

    from pyrite.counters import initialise
    from pyrite.launchers.local_store import LAUNCHPAD_FILE, LocalStore

    store = LocalStore(home)
    state = store.start(port)
    launchpad = LaunchPad.from_file(str(store.home / LAUNCHPAD_FILE))
    initialise(launchpad)  # what a new database needs before lpad add
    launchpad.connection.close()
    typer.echo(f"The store of {store.home} runs at {state.uri} (process {state.pid}).")
    typer.echo(f"FireWorks commands: lpad -l {store.home / LAUNCHPAD_FILE} get_wflows")


@store_app.command()
def stop(home: Home = HOME) -> None:
    """Stop the database; its data stay."""
    from pyrite.launchers.local_store import LocalStore

    store = LocalStore(home)
    ran = store.stop()
    typer.echo(f"The store of {store.home} {'has stopped' if ran else 'was not running'}.")


@store_app.command()
def status(home: Home = HOME) -> None:
    """Tell whether the database runs, and where."""
    from pyrite.launchers.local_store import LocalStore

    store = LocalStore(home)
    state = store.status()
    if not state.running:
        typer.echo(f"The store of {store.home} is not running.")
    elif state.answering:
        typer.echo(f"The store of {store.home} runs at {state.uri} (process {state.pid}).")
    else:
        typer.echo(
            f"The store of {store.home} runs (process {state.pid}) but does not answer; "
            f"its log: {store.log}"
        )
