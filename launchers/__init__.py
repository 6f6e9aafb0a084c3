"""The command line, the local store and the local workers."""

if __name__ != "pyrite.launchers":
    raise ImportError(
        "import pyrite.launchers, not launchers: a second name would register a second set of FireWorks tasks"
    )
