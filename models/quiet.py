"""Foreign code that must neither talk nor leave the working directory changed."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quietly(directory: Path | None = None) -> Iterator[None]:
    """Swallow warnings and whatever Python code prints; optionally work in ``directory``.

    The working directory is what it was afterwards, whatever happens inside.
    """
    here = Path.cwd()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)
                os.chdir(directory)
            yield
        finally:
            os.chdir(here)
