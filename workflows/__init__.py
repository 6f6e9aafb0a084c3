"""Searches, iterations and validations as FireWorks workflows."""

if __name__ != "pyrite.workflows":
    raise ImportError(
        "import pyrite.workflows, not workflows: a second name would register a second set of FireWorks tasks"
    )
