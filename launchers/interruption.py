"""Ending a command on purpose: Ctrl-C, a signal, a closed terminal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

INTERRUPTED = 130
"""Exit code."""


@contextmanager
def stoppable(console: Console) -> Iterator[None]:
    """Make SIGTERM and a closed terminal act like Ctrl-C, and clean up undisturbed by a second."""

    def interrupt(*_: object) -> None:
        for again in signals:
            signal.signal(again, signal.SIG_IGN)
        raise KeyboardInterrupt

    signals = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    for number in signals:
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        console.print("stopped; the same command resumes")
        raise typer.Exit(INTERRUPTED) from None
