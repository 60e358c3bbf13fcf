"""The request path's guard that no busy machine can upset: instructions per request, counted by callgrind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NODE = Path(sys.executable).with_name("elba-node")
LIMIT = 18_500
"""A tenth over what the larger of the two requests took when it was last looked at: docs/performance.md."""


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.skipif(not NODE.exists(), reason="the release build is not installed beside this Python")
def test_a_request_takes_no_more_instructions_than_it_used_to() -> None:
    result = subprocess.run(
        [sys.executable, "benchmarks/proxy/instructions.py", "--node", str(NODE), "--limit", str(LIMIT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "instructions per request" in result.stdout
