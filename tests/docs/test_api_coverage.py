"""The API coverage page says what is true."""

from __future__ import annotations

from pathlib import Path

from elba.server.coverage import PAGE, render, words_by_file
from elba.server.services import SERVED

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    """If it fails: python -m elba.server.coverage, at the root of the repository."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == render(words_by_file(ROOT / "tests"))


def test_a_test_counts_by_whole_words(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit" / "test_a.py").write_text("client.get_caller_identity()\nassume_role_with_saml = 1\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "test_b.py").write_text("assume_role")
    page = render(words_by_file(tmp_path), [s for s in SERVED if s.name == "sts"])
    assert "| GetCallerIdentity | `unit/test_a.py` |" in page
    assert "| AssumeRole | — |" in page
    assert "AssumeRoleWithSAML" in page.partition("Known but not built")[2]
