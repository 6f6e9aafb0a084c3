"""Is the first-ranked crystal of a finished search the published ground state?

    python -m benchmarks.check_demo --home .pyrite-demo --name demo-seed-1 --known nacl-rocksalt

Exit code 0 if pymatgen's StructureMatcher says so, 1 otherwise.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from pyrite.models.known_structures import known_structure


def results(name: str, home: Path) -> dict[str, Any]:
    """What ``pyrite results NAME --json`` prints."""
    command = [sys.executable, "-m", "pyrite.launchers.cli", "results", name, "--json"]
    done = subprocess.run(
        [*command, "--home", str(home)], check=True, capture_output=True, text=True
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def main() -> int:
    """Compare and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--known", default="nacl-rocksalt", help="id of the published structure")
    options = parser.parse_args()
    document = results(options.name, options.home)
    first = document["ranking"][0]
    found = Structure.from_dict(first["structure"])
    same = bool(StructureMatcher().fit(found, known_structure(options.known)))
    calls = document["ledger"]["reference_calls"]
    print(
        f"{document['name']}: first-ranked {first['space_group_symbol']} "
        f"({first['space_group_number']}) is {'' if same else 'not '}{options.known}; "
        f"{calls} reference calls, ended by {document['ended_by']}"
    )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
