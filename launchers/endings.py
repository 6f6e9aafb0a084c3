"""How a command ends other than well: on purpose, or with an error in a sentence."""

import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from pyrite import __version__
from pyrite.errors import PyriteError

INTERRUPTED = 130
"""Exit code."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a command on purpose."""
GOES_ON = "the same command resumes"


@contextmanager
def stoppable(console: Console, then: str = GOES_ON) -> Iterator[None]:
    """Make SIGTERM and a closed terminal act like Ctrl-C, and clean up undisturbed by a second.

    Parameters
    ----------
    then : what the user is told about going on
    """

    def interrupt(*_: object) -> None:
        for again in signals:
            signal.signal(again, signal.SIG_IGN)
        raise KeyboardInterrupt

    signals = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    for number in signals:
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"stopped; {then}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def told() -> Iterator[None]:
    """Make errors one sentence on stderr and an exit code; a traceback goes to a file."""
    try:
        yield
    except PyriteError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        log = _write_traceback()
        _complain(f"unexpected {type(error).__name__}: {error}; details are in {log}, report them")
        sys.exit(1)


def _complain(message: str) -> None:
    Console(stderr=True).print(f"Error: {message}", markup=False, highlight=False, soft_wrap=True)


def _write_traceback() -> Path:
    with tempfile.NamedTemporaryFile(
        "w", prefix="pyrite-error-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"pyrite {__version__}: {' '.join(sys.argv)}\n{traceback.format_exc()}")
        return Path(file.name)
