"""What stops the stand-in before it computes anything."""

import textwrap

_WIDTH = 77


class Refusal(Exception):
    """The inputs are not ones that VASP, or its stand-in, can run."""


class ItemError(Refusal):
    """An INCAR value that does not parse; custodian knows VASP's words for it."""

    def __init__(self, tag: str, why: str) -> None:
        super().__init__(why)
        self.tag = tag


def told(refusal: Refusal) -> str:
    """What standard output says about ``refusal``, in the manner of VASP 6."""
    rule = " " + "-" * _WIDTH + " "
    lines = textwrap.wrap(str(refusal), _WIDTH - 10)
    body = ["", "ERROR: the stand-in for VASP stops here", "", *lines, ""]
    box = [rule, *(f"|     {line:<{_WIDTH - 5}}|" for line in body), rule]
    if isinstance(refusal, ItemError):
        box.insert(0, f" Error reading item '{refusal.tag}' from file INCAR.")
    return "\n".join(box) + "\n"
