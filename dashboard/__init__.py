"""The web page on a store (built by a later release)."""

if __name__ != "pyrite.dashboard":
    raise ImportError(
        "import pyrite.dashboard, not dashboard: a second name would register a second set of FireWorks tasks"
    )
