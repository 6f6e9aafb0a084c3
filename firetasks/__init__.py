"""FireWorks tasks: load, one call into models, save."""

if __name__ != "pyrite.firetasks":
    raise ImportError(
        "import pyrite.firetasks, not firetasks: a second name would register a second set of FireWorks tasks"
    )
