"""Everything Pyrite raises on purpose.

::

    PyriteError                  exit code 1
    ├── UserError                exit code 2: the user's input or environment
    │   ├── ConfigError          the search file or a command-line option
    │   ├── GenerationError      a constraint on the pool that no crystal met
    │   ├── EngineError          a reference engine that is missing or unusable
    │   ├── StoreError           the database: unreachable, full, in use
    │   │   ├── StoreAway        no database answers: what was under way is to be done again
    │   │   └── NameTakenError   another search already has this name
    │   ├── MachineError         a disk, memory or GPU: the same task may succeed elsewhere or later
    │   ├── TooManyFailedLabels  the reference failed more often than the search allows
    │   └── MixedLabels          labels of different methods or settings
    ├── LabelError               one reference calculation gave no usable answer
    └── SearchFailed             a search that cannot go on
        └── RecordsEnd           a replay that needs what nobody has calculated

Each message says what was wrong, where, and what to do about it.
"""

from collections.abc import Mapping
from typing import Any


class PyriteError(Exception):
    """Base of all errors that Pyrite raises on purpose."""

    exit_code = 1


class UserError(PyriteError):
    """The user's input or environment; the message names the remedy."""

    exit_code = 2


class ConfigError(UserError):
    """The search file or a command-line option is wrong."""


class GenerationError(UserError):
    """The pool's constraints admit no crystal within the allowed attempts."""


class EngineError(UserError):
    """A reference engine is not installed or cannot be configured."""


class StoreError(UserError):
    """The database is unreachable, full, or not ours to use."""


class StoreAway(StoreError):
    """No database answers; whatever was under way can be done again when one does."""


class NameTakenError(StoreError):
    """Another search with the same name and other settings exists."""


class MachineError(UserError):
    """A full disk, too little memory, a GPU that is gone: nothing that the task is to blame for.

    ``pyrite maintain`` runs such tasks again.
    """


class TooManyFailedLabels(UserError):
    """More reference calculations failed than the search allows.

    When the search is resumed, those that failed are tried again.
    """


class MixedLabels(UserError):
    """Labels that cannot be compared, since different methods or settings made them."""


class LabelError(PyriteError):
    """One reference calculation failed; recorded with its reason.

    ``calls`` is the number of energy-and-force evaluations that it had spent, ``details``
    whatever else its record should keep.
    """

    def __init__(
        self, reason: str, calls: int = 1, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.calls = calls
        self.details = dict(details or {})


class SearchFailed(PyriteError):
    """A search that cannot go on."""


class RecordsEnd(SearchFailed):
    """A replay that needs a calculation which the earlier search did not make."""


def kind_of_problem(reason: str | None) -> str:
    """What went wrong with a calculation, without what is peculiar to it."""
    return (reason or "unknown").partition(";")[0].partition(" (")[0]
