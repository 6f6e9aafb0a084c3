"""JSON files of results that several runs write to, and the rows in them."""

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pyrite import __version__


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


def key(row: dict[str, Any]) -> tuple[str, ...]:
    """What a row is about; of an ablation the preset as well."""
    names = ("system", "method", "recipe", "preset", "reference", "seed")
    return tuple(str(({"preset": ""} | row)[name]) for name in names)


def is_about(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are about the same."""
    return key(row) == key(other)


def with_row(
    row: dict[str, Any],
    document: dict[str, Any],
    replaces: Callable[[dict[str, Any], dict[str, Any]], bool] = is_about,
) -> dict[str, Any]:
    """The document with a row, in place of what it replaces."""
    others = [one for one in document.get("rows", ()) if not replaces(row, one)]
    return document | {"rows": sorted([*others, row], key=key)}


def processor() -> str:
    """Name, family and model; searches repeat to the last digit on the same one alone."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines)
    known = {name.strip(): value.strip() for name, _, value in pairs}
    if "model name" not in known:
        return platform.processor()
    return ", ".join(
        f"{word}{known[name]}"
        for word, name in (("", "model name"), ("family ", "cpu family"), ("model ", "model"))
        if name in known
    )


def commit() -> str | None:
    """Of the working copy, and whether other files than results differ from it."""
    here = Path(__file__).parent
    git = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True)
    with suppress(OSError, subprocess.CalledProcessError):
        name = git(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()
        others = ["--", ":/", f":(exclude){here / 'results'}"]
        changed = git(["git", "status", "--porcelain", *others]).stdout
        return f"{name}-dirty" if changed else name
    return None


def machine() -> dict[str, Any]:
    """Where a row was made, when and by what."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "pyrite": __version__,
        "python": platform.python_version(),
    }
