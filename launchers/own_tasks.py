"""What Pyrite's workers load from the database: its own tasks. All else in there is data.

A firework names its tasks by the Python class, and FireWorks imports and runs whatever a document
names, a shell command included (ScriptTask); it does so for every dictionary with a ``_fw_name``
inside a firework, and makes objects of those with ``@module`` and ``@class``. Who can write to the
database could so run programs as the user whose workers read it. FireWorks' own ``rlaunch`` works
like that on purpose; the workers of ``pyrite run`` and ``pyrite work`` do not.
"""

from collections.abc import Iterable
from typing import Any

OWN_TASKS = ("pyrite.firetasks",)

# With these FireWorks runs a task in, and moves files from and to, whatever directories a
# document names.
_PLACES = ("_launch_dir", "_files_in", "_files_out", "_files_prev", "_trackers")
IN_PLACE: dict[str, Any] = {f"spec.{key}": {"$exists": False} for key in _PLACES}

# Fireworks of Pyrite have one task each.
QUERY: dict[str, Any] = {
    **IN_PLACE,
    "spec._tasks": {"$size": 1},
    "spec._tasks.0._fw_name": {"$regex": r"^\{\{pyrite\.firetasks\."},
}


def load_only(packages: Iterable[str] = OWN_TASKS) -> None:
    """Let FireWorks make objects of nothing but tasks of these packages, in this process.

    A firework that names anything else is FIZZLED when it is read, before any of it is imported.

    Parameters
    ----------
    packages
        modules, or packages with all that is in them
    """
    from fireworks.utilities import fw_serializers
    from fireworks.utilities.exceptions import FWSerializationError

    allowed = tuple(packages)
    original = fw_serializers.load_object
    original = getattr(original, "unlimited", original)

    def load_object(document: dict[str, Any]) -> Any:
        name = str(document["_fw_name"])
        module = name.removeprefix("{{").removesuffix("}}").rpartition(".")[0]
        own = any(module == one or module.startswith(f"{one}.") for one in allowed)
        if not (own and name.startswith("{{") and name.endswith("}}")):
            raise FWSerializationError(
                f"{name} is not a task of Pyrite's, and its workers run no others; "
                "remove this firework, or run it by rlaunch if you know who wrote it"
            )
        return original(document)

    load_object.unlimited = original  # type: ignore[attr-defined]
    fw_serializers.load_object = load_object
    fw_serializers.DECODE_MONTY = False
