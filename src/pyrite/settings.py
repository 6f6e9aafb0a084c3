"""The machine that a search runs on, from environment variables ``PYRITE_*``.

Read at call time, ``settings().database_uri``, never in a default argument, so
that a changed environment counts.
"""

import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pyrite.errors import ConfigError
from pyrite.machine import Machine

PREFIX = "PYRITE_"


class Settings(BaseSettings, Machine):
    """Settings of the machine, and of its store; nothing here changes what a search finds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    database_uri: SecretStr | None = Field(
        None, description="MongoDB URI; without it Pyrite starts its embedded store"
    )
    database_uri_file: Path | None = Field(
        None, description="file of mode 600 whose first line is that URI"
    )
    database_name: str | None = Field(
        None, description="database of the URI; default: the one that the URI names, or pyrite"
    )
    store_command: str = Field("secantusd-py", description="program of the embedded store")
    store_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="port of the embedded store; default: a free one, remembered"
    )
    store_cache_size: str = Field(
        "256M", pattern=r"^[1-9][0-9]*[KMG]$", description="memory of the embedded store's cache"
    )
    store_start_timeout: float = Field(
        60.0, gt=0, description="seconds that the embedded store may take to answer"
    )
    dashboard_password: SecretStr | None = Field(
        None, description="asked of those who open the dashboard"
    )
    dashboard_password_file: Path | None = Field(
        None, description="file of mode 600 whose first line is that password"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", description="level of the messages that Pyrite and FireWorks print"
    )

    @model_validator(mode="before")
    @classmethod
    def _other_names_of_vasp(cls, given: dict[str, Any]) -> dict[str, Any]:
        others = (os.environ.get(name) for name in ("ATOMATE2_VASP_CMD", "VASP_CMD"))
        command = next(filter(None, others), None)
        return given if command is None else {"vasp_command": command, **given}

    @property
    def uri(self) -> str | None:
        """Of the database, from the environment or its file; None for the embedded store.

        Raises
        ------
        ConfigError
            The file cannot be used.
        """
        if self.database_uri is not None:
            return self.database_uri.get_secret_value()
        if self.database_uri_file is None:
            return None
        return secret_line(self.database_uri_file, "database_uri_file")

    def machine(self) -> Machine:
        """What a reference program may use."""
        return Machine(**{name: getattr(self, name) for name in Machine.model_fields})


def secret_line(path: Path, field: str) -> str:
    """The first line of a file that only its owner may read.

    Parameters
    ----------
    field
        the setting that names the file, for errors

    Raises
    ------
    ConfigError
        The file cannot be read, is empty, or others than its owner can read it.
    """
    names = f"{PREFIX}{field.upper()} names {path}, which"
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{names} cannot be read ({reason}); correct it or unset it") from None
    if mode & 0o077:
        raise ConfigError(
            f"{names} others can read (mode {mode:03o}); give it mode 600: chmod 600 {path}"
        )
    if not text:
        raise ConfigError(f"{names} is empty; write it into the first line")
    return text


def settings() -> Settings:
    """Read the environment.

    Raises
    ------
    ConfigError
        A variable has a value that cannot be used; the value itself is not
        repeated, as it may hold a password.
    """
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        variable = PREFIX + str(problem["loc"][0]).upper()
        raise ConfigError(
            f"environment variable {variable} cannot be used: {problem['msg']}; "
            "correct it or unset it"
        ) from None
