""":mod:`benchmarks.torture` in a short form: every kind of kill, and nothing to show for it."""

import json
from pathlib import Path

import pytest

from benchmarks import slurm_node, torture


def test_a_search_among_kills_is_the_search_that_nobody_disturbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "torture.json"
    short = ("--iterations", "1", "--workers", "3", "--pause", "1", "2", "--kills", "5")
    torture.main([*short, "--json", str(output)])
    found = json.loads(output.read_text())
    assert found["kills"] >= 3
    assert found["database_kills"] == 2
    assert found["scancels"] == (0 if slurm_node.missing() else 1)
    assert found["exit_code"] == 0
    assert found["fireworks"] >= 28
    assert found["same_ranking"]
    assert found["same_labels"]
    assert found["same_ledger"]
    assert found["residue"] == {}
