"""The base of all sections of a search file."""

from pydantic import BaseModel, ConfigDict

SEARCH_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Searches are part of the names of files, which so stay in their directories."""


class Frozen(BaseModel):
    """Base of all sections: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
