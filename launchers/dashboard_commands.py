"""What ``pyrite dashboard`` and ``pyrite report`` do; Dash is below the launchers."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.launchers.formats import ReportFormat

if TYPE_CHECKING:
    from pyrite.dashboard.source import Actions
    from pyrite.launchers.session import Session


def show(home: Path, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve the dashboard of a store until Ctrl-C.

    Parameters
    ----------
    tell
        told the address once it can be opened

    Raises
    ------
    UserError
        No store, no Dash, a host without a password, or a port in use.
    """
    from pyrite.dashboard.app import make_server, require_dash
    from pyrite.dashboard.auth import read_password, require_password_for
    from pyrite.dashboard.server import bind, serve
    from pyrite.dashboard.source import Source
    from pyrite.launchers.session import attached
    from pyrite.models.quiet import quietly
    from pyrite.settings import settings

    require_dash()
    machine = settings()
    secret = machine.dashboard_password
    password = read_password(
        secret.get_secret_value() if secret else None, machine.dashboard_password_file
    )
    require_password_for(host, password)
    with bind(host, port) as listener, attached(home, create=False) as session:
        actions = None if password is None else actions_on(session)
        with quietly():
            server = make_server(Source(session.store, session.home, actions), password)
        threading.Thread(target=_import_science, daemon=True, name="imports").start()
        serve(server, listener, tell)


def report(home: Path, name: str, output: Path | None, fmt: ReportFormat) -> list[Path]:
    """Write the report of a search; see :func:`pyrite.dashboard.report.write_report`.

    Parameters
    ----------
    output
        default: NAME.html, or a directory NAME for files of figures

    Raises
    ------
    UserError
        No store, no such search, no plotly, no browser, or a place that cannot be written.
    """
    from pyrite.dashboard.app import require_dash
    from pyrite.launchers.session import attached
    from pyrite.models.quiet import quietly

    require_dash()
    from pyrite.dashboard.report import write_report
    from pyrite.views import Views

    default = Path(f"{name}.html" if fmt is ReportFormat.HTML else name)
    with attached(home, create=False) as session, quietly():
        return write_report(Views(session.store), name, output or default, fmt.value)


def _import_science() -> None:
    """Import what the first crystal would have to wait for."""
    import pyrite.models.ranking
    import pyrite.models.structure_files  # noqa: F401


def actions_on(session: "Session") -> "Actions":
    """What the page may do to the searches of a session, each told in a sentence."""
    from pyrite.dashboard.source import Actions
    from pyrite.launchers import steering

    def rerun(name: str) -> str:
        again = steering.rerun(session, name)
        if not again:
            return "No task has failed: there is nothing to run again."
        return f"{len(again)} task(s) will run again, as soon as a worker takes them."

    def pause(name: str) -> str:
        paused = steering.pause(session, name)
        if not paused:
            return "No task was waiting: there is nothing to pause."
        return f"{len(paused)} task(s) are paused. What a task at work adds can be paused then."

    def resume(name: str) -> str:
        resumed = steering.resume(session, name)
        if not resumed:
            return "No task was paused."
        return f"{len(resumed)} task(s) may start again, as soon as a worker takes them."

    return Actions(rerun, pause, resume)
