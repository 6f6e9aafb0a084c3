"""Sections of docs/benchmarks.md that programs write."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def with_section(text: str, begin: str, end: str, body: str) -> str:
    """``text`` with ``body`` between two lines that mark the section.

    Raises
    ------
    ValueError
        If a mark is missing.
    """
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{PAGE.name} has no section from {begin.strip()!r} to {end.strip()!r}")
    return f"{before}{begin}\n{body}\n\n{end}{after}"
