"""Search files: YAML in, a validated :class:`~pyrite.config.SearchConfig` out.

A search comes from a file, from a preset shipped with Pyrite, or from a
composition alone. Whatever is wrong with it becomes one sentence that names the
place, the key, the value and what is allowed. YAML is read by the 1.2 rules:
``1e-4`` is a number, ``NO`` is nitric oxide and not "false", and a key may occur
only once.
"""

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pyrite.config import SearchConfig
from pyrite.errors import ConfigError

_SECTIONS_WITH_FILES = (("pool",), ("target", "pool"))
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
}


def load_search(
    path: Path | None = None,
    *,
    preset: str | None = None,
    composition: str | None = None,
    seed: int | None = None,
    name: str | None = None,
) -> SearchConfig:
    """Read and validate a search.

    Parameters
    ----------
    path : Path, optional
        A search file. Its ``pool.files`` are relative to its own directory.
    preset : str, optional
        A search shipped with Pyrite, instead of a file.
    composition, seed, name : optional
        Replace what the file or preset says. Without a name anywhere the search
        is called after composition and seed, such as ``NaCl-seed1``.

    Raises
    ------
    ConfigError
        With one sentence for the first thing that is wrong.
    """
    if path is not None and preset is not None:
        raise ConfigError(f"give a search file ({path}) or --preset {preset}, not both")
    if path is not None:
        source, settings = str(path), _read_file(path)
        _resolve_files(settings, path.absolute().parent)
    elif preset is not None:
        source, settings = f"preset {preset}", _read_preset(preset)
    elif composition is not None:
        source, settings = "command line", {}
    else:
        raise ConfigError(
            "nothing to search for: give a search file, --composition such as NaCl, "
            f"or --preset (one of {', '.join(preset_names()) or 'none'})"
        )
    given = {"composition": composition, "seed": seed, "name": name}
    settings |= {key: value for key, value in given.items() if value is not None}
    try:
        config = SearchConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error)}") from None
    if config.name is not None:
        return config
    return config.model_copy(update={"name": default_name(config)})


def default_name(config: SearchConfig) -> str:
    """The name of a search that has none: formula and seed, ``NaCl-seed1``."""
    formula = re.sub(r"[^A-Za-z0-9]", "", config.composition)[:40]
    return f"{formula or 'search'}-seed{config.seed}"


def dump_search(config: SearchConfig) -> str:
    """All settings as YAML text; :func:`load_search` reads the same search from it."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(config.model_dump(mode="json"), text)
    return text.getvalue()


def preset_names() -> list[str]:
    """Names of the searches shipped with Pyrite."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in _presets().iterdir()
        if entry.name.endswith(".yaml")
    )


def explain(error: ValidationError) -> str:
    """One sentence for the first of pydantic's findings, and how many more there are."""
    findings = error.errors(include_url=False)
    sentence = _sentence(findings[0])
    return sentence if len(findings) == 1 else f"{sentence} (and {len(findings) - 1} more)"


def _presets() -> Any:
    return resources.files("pyrite") / "workflows" / "presets"


def _read_preset(preset: str) -> dict[str, Any]:
    known = preset_names()
    if preset not in known:
        raise ConfigError(
            f"there is no preset {preset!r}{_nearest(preset, known)}; "
            f"presets are: {', '.join(known) or 'none'}"
        )
    return _parse((_presets() / f"{preset}.yaml").read_text(encoding="utf-8"), f"preset {preset}")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no search file {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    return _parse(text, str(path))


def _parse(text: str, source: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        settings = YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        key = re.search(r'duplicate key "([^"]*)"', error.problem or "")
        which = key.group(1) if key else "a key"
        raise ConfigError(
            f"{source}, line {line}: {which} is given twice; keep one of them"
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}, line {mark.line + 1}" if mark else source
        raise ConfigError(f"{where}: not valid YAML ({error.problem or error.context})") from None
    except (YAMLError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise ConfigError(f"{source}: not valid YAML ({first_line})") from None
    if settings is None:
        raise ConfigError(f"{source}: the file is empty; it needs at least 'composition: NaCl'")
    if not isinstance(settings, dict):
        raise ConfigError(f"{source}: expected 'key: value' lines such as 'composition: NaCl'")
    return settings


def _resolve_files(settings: dict[str, Any], directory: Path) -> None:
    """Make start structures absolute, so that they mean the same for every worker."""
    for keys in _SECTIONS_WITH_FILES:
        section: Any = settings
        for key in keys:
            section = section.get(key) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(section.get("files"), list):
            section["files"] = [
                str(directory / Path(file).expanduser()) if isinstance(file, str) else file
                for file in section["files"]
            ]


def _sentence(finding: ErrorDetails) -> str:
    location, kind, value = finding["loc"], finding["type"], finding["input"]
    key = _dotted(location)
    if kind == "extra_forbidden":
        return f"unknown key {key}{_nearest_key(location)}"
    if kind == "invalid_key":
        return f"{location[-1]!r} is a key of the wrong kind; keys are words such as composition"
    if kind == "missing":
        return f"{key} is missing; it must be {_allowed(location)}"
    if kind == "value_error":
        reason = finding["msg"].removeprefix("Value error, ")
        return f"{key}: {reason}" if key else reason
    if kind == "string_pattern_mismatch":
        return (
            f"{key} is {value!r}, but may have letters, digits, dots, dashes and underscores only, "
            "begins with a letter or digit, and has 64 characters at most"
        )
    return f"{key} is {_shown(value)}, but must be {_allowed(location)}"


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dotted(location: Sequence[int | str]) -> str:
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in location
    ).removeprefix(".")


def _nearest(word: str, known: Sequence[str]) -> str:
    by_lower = {key.lower(): key for key in known}
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f", did you mean {by_lower[close[0]]}?" if close else ""


def _nearest_key(location: Sequence[int | str]) -> str:
    """The closest key of the same section; failing that, of the whole file."""
    word = str(location[-1])
    section = _model_at(location[:-1])
    if section is not None:
        prefix = _dotted(location[:-1])
        close = difflib.get_close_matches(word.lower(), list(section.model_fields), n=1)
        if close:
            return f"; did you mean {f'{prefix}.{close[0]}' if prefix else close[0]}?"
    leaves = dict(_all_keys(SearchConfig))
    close = difflib.get_close_matches(word.lower(), list(leaves), n=1)
    if close:
        return f"; did you mean {leaves[close[0]]}?"
    return f"; known here: {', '.join(section.model_fields)}" if section is not None else ""


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Last word and dotted name of every key; the likeliest come last, so that they win."""
    for name, field in reversed(model.model_fields.items()):
        inner = _submodel(field)
        if inner is not None:
            yield from _all_keys(inner, f"{prefix}{name}.")
    for name in model.model_fields:
        yield name, f"{prefix}{name}"


def _submodel(field: FieldInfo) -> type[BaseModel] | None:
    for kind in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _model_at(location: Sequence[int | str]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = SearchConfig
    for part in location:
        fields: Mapping[str, FieldInfo] = model.model_fields if model is not None else {}
        model = _submodel(fields[part]) if isinstance(part, str) and part in fields else None
    return model


def _allowed(location: Sequence[int | str]) -> str:
    """What may stand at a place, in words: kind, range and meaning."""
    for end in (len(location), len(location) - 1):
        model, name = _model_at(location[: end - 1]), location[end - 1]
        if model is not None and name in model.model_fields:
            field = model.model_fields[str(name)]
            inside = end < len(location)
            kind = _words_for(_item(field.annotation) if inside else field.annotation)
            meaning = f": {field.description}" if field.description else ""
            return f"{kind}{_range(field)}{meaning}"
    return "something else"


def _item(annotation: Any) -> Any:
    """What a list or a section of free keys consists of."""
    for kind in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(kind) is tuple:
            return typing.get_args(kind)[0]
        if typing.get_origin(kind) is dict:
            return typing.get_args(kind)[1]
    return annotation


def _words_for(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_words_for(kind) for kind in arguments if kind is not type(None))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list, each of it {_words_for(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}, each of it {_words_for(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(choice.value) for choice in annotation)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a section with keys such as {next(iter(annotation.model_fields))}"
    if origin is dict:
        return "a section of 'key: value' lines"
    return _WORDS.get(annotation, "something else")


def _range(field: FieldInfo) -> str:
    limits = []
    for limit in field.metadata:
        match limit:
            case Ge(ge):
                limits.append(f"at least {ge}")
            case Gt(gt):
                limits.append(f"above {gt}")
            case Le(le):
                limits.append(f"at most {le}")
            case Lt(lt):
                limits.append(f"below {lt}")
    return f", {' and '.join(limits)}" if limits else ""
