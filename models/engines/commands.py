"""Commands as users write them."""

import os
import shlex

from pyrite.errors import EngineError


def words(field: str, command: object, example: str) -> list[str]:
    """What a shell would make of a command; nothing of None.

    Raises
    ------
    EngineError
        Naming ``field``: the command is no text, or has quotes that nothing closes.
    """
    try:
        if not isinstance(command, str | None):
            raise ValueError("it is no text")
        return shlex.split(os.path.expandvars(command or ""))
    except ValueError as error:
        raise EngineError(
            f"{field}: {command!r} is no command ({error}); write it as in a shell, such as: "
            f"{example}"
        ) from error
