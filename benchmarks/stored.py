"""JSON files of results that several runs write to."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """The document of a file; empty if there is no file."""
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return document


def update(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Replace a document by what ``change`` makes of it, alone and in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = json.dumps(change(read(path)), indent=1)
        scratch = path.with_suffix(".part")
        scratch.write_text(text + "\n")
        scratch.replace(path)
