"""The base of all sections of a search file."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

SEARCH_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Searches are part of the names of files, which so stay in their directories."""


class Frozen(BaseModel):
    """Base of all sections: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Settings that differ, such as ``pool.size: 240 there, 200 here``."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name}: {json.dumps(before)} there, {json.dumps(after)} here")
    return found
