"""The science: plain functions on plain objects, no FireWorks, no database."""

if __name__ != "pyrite.models":
    raise ImportError(
        "import pyrite.models, not models: a second name would register a second set of FireWorks tasks"
    )
