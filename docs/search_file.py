"""Write the reference part of docs/search-file.md from the configuration itself.

python docs/search_file.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyrite.config import SearchConfig

PAGE = Path(__file__).parent / "search-file.md"
BEGIN = "<!-- reference: written by docs/search_file.py -->\n"
END = "<!-- end of reference -->\n"

Schema = dict[str, Any]

_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "`key: value` lines",
}
_SAME_AS_POOL = "The same keys as [pool](#pool), for the target."


def page(text: str) -> str:
    """``text`` with its reference part brought up to date."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def reference() -> str:
    """All keys: first those of the top level, then one table per section."""
    schema = SearchConfig.model_json_schema()
    top = {key: one for key, one in schema["properties"].items() if _section(one) is None}
    parts = [_heading("Top level", "", top, schema)]
    for key, one in schema["properties"].items():
        name = _section(one)
        if name is not None:
            keys = schema["$defs"][name]["properties"]
            parts.append(_heading(key, key, keys, schema, name))
            for inner, deeper in keys.items():
                below = _section(deeper)
                if below is not None and below != "PoolConfig":
                    title = f"{key}.{inner}"
                    parts.append(
                        _heading(title, title, schema["$defs"][below]["properties"], schema, below)
                    )
    return "\n".join(parts)


def _heading(
    title: str, prefix: str, keys: dict[str, Schema], schema: Schema, name: str = ""
) -> str:
    about = _plain(schema["$defs"][name]["description"]) if name else ""
    rows = [
        "| key | default | allowed | meaning |",
        "|---|---|---|---|",
        *_rows(prefix, keys, schema),
    ]
    return "\n".join([f"### {title}", "", *([about, ""] if about else []), *rows, ""])


def _rows(prefix: str, keys: dict[str, Schema], schema: Schema) -> Iterator[str]:
    required = [] if prefix else schema["required"]
    for key, one in keys.items():
        dotted = f"{prefix}.{key}" if prefix else key
        section = _section(one)
        if section is not None:
            link = f"See [{dotted}](#{dotted.replace('.', '')})."
            meaning = _SAME_AS_POOL if section == "PoolConfig" else link
            yield f"| `{dotted}` | | section | {meaning} |"
            continue
        default = "required" if key in required else shown(one.get("default"))
        meaning = one.get("description", "").replace("|", "\\|")
        yield f"| `{dotted}` | {default} | {_allowed(one, schema)} | {meaning} |"


def shown(value: Any) -> str:
    """A default as it would stand in a search file."""
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


def _plain(docstring: str) -> str:
    return " ".join(docstring.replace("``", "`").split())


def _section(one: Schema) -> str | None:
    """The name of the section that a key holds, if it holds one."""
    for option in (one, *one.get("anyOf", ()), *one.get("allOf", ())):
        name = str(option.get("$ref", "")).rpartition("/")[2]
        if name.endswith("Config"):
            return name
    return None


def _allowed(one: Schema, schema: Schema) -> str:
    if "$ref" in one:
        return _allowed(schema["$defs"][one["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in one:
        options = [option for option in one["anyOf"] if option.get("type") != "null"]
        return " or ".join(_allowed(option, schema) for option in options)
    if "enum" in one:
        return " or ".join(f"`{choice}`" for choice in one["enum"])
    if "prefixItems" in one:
        return f"list of {len(one['prefixItems'])} {_allowed(one['prefixItems'][0], schema)}s"
    if one.get("type") == "array":
        return "list of file names" if one["items"].get("format") == "path" else "list"
    return _KINDS[one["type"]] + _range(one)


def _range(one: Schema) -> str:
    words = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    limits = [text.format(f"{one[key]:.12g}") for key, text in words.items() if key in one]
    return f" {' '.join(limits)}" if limits else ""


def main() -> None:
    """Bring the page up to date."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
