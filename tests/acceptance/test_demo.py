"""`elba demo` closes the loop: every step happens, and not one request fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(260)]


def test_the_demo_closes_the_loop_without_a_failed_request() -> None:
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "elba.cli.main", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    assert time.monotonic() - began < 180
    outcome = json.loads(result.stdout)
    assert outcome["ok"]
    assert outcome["failed"] == 0
    assert outcome["requests"] > 1000
    assert outcome["instances_used"] >= 4
    steps = "\n".join(text for _, text in outcome["timeline"])
    for expected in ("alarm: average CPU is above", "scale-out", "kill -9", "was replaced", "scaled in to 2"):
        assert expected in steps
