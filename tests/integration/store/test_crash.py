"""A killed writer loses no acknowledged write, and no half of a write is ever seen."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 300


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_kill_9_at_random_points_loses_no_acknowledged_write(tmp_path: Path) -> None:
    seed = int(os.environ.get("ELBA_TEST_SEED", secrets.randbelow(2**31)))
    program = Path(__file__).with_name("crash_rounds.py")
    root = program.parents[3]
    result = subprocess.run(
        [sys.executable, "-m", "tests.integration.store.crash_rounds", str(tmp_path), str(ROUNDS), str(seed)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, f"seed {seed}: {result.stdout}\n{result.stderr}"
    outcome = json.loads(result.stdout)
    assert outcome["rounds"] == ROUNDS
    assert outcome["acknowledged"] > ROUNDS, (
        "the writers were killed before they wrote anything: the test proves nothing"
    )
