"""Sections of the README and the docs that programs write."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BENCHMARKS, ABLATIONS, PERFORMANCE = (
    ROOT / "docs" / f"{name}.md" for name in ("benchmarks", "ablations", "performance")
)
COMMAND = "python -m benchmarks.pages"


class Section(NamedTuple):
    """What stands between two marks of a page."""

    page: Path
    name: str

    @property
    def begin(self) -> str:
        """The mark before it."""
        return f"<!-- {self.name}: written by {COMMAND} -->\n"

    @property
    def end(self) -> str:
        """The mark after it."""
        return f"<!-- end of {self.name} -->\n"

    def put(self, text: str, body: str) -> str:
        """``text`` with ``body`` as this section.

        Raises
        ------
        ValueError
            If a mark is missing.
        """
        before, found, rest = text.partition(self.begin)
        _, closed, after = rest.partition(self.end)
        if not found or not closed:
            raise ValueError(f"{self.page.name} has not both marks of {self.name!r}")
        return f"{before}{self.begin}\n{body}\n\n{self.end}{after}"

    def write(self, body: str) -> None:
        """Bring the page up to date."""
        text = self.put(self.page.read_text(encoding="utf-8"), body)
        self.page.write_text(text, encoding="utf-8")

    def is_current(self, body: str) -> bool:
        """Whether the page says this already."""
        text = self.page.read_text(encoding="utf-8")
        return self.put(text, body) == text
