"""The base of all sections of a search file."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of all sections: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
