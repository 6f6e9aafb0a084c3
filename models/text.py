"""Errors in words."""

import difflib
from collections.abc import Iterable

from pyrite.errors import PyriteError


def one_line(error: BaseException) -> str:
    """An exception as one short line."""
    if isinstance(error, PyriteError):
        return str(error)
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"[:300] if first else type(error).__name__


def hint(value: str, choices: Iterable[str]) -> str:
    """A guess at what was meant, as the end of a sentence, or nothing."""
    near = difflib.get_close_matches(value, list(choices), n=1)
    return f"; did you mean {near[0]}?" if near else ""
