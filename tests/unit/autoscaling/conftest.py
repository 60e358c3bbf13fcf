"""Fixtures of the Auto Scaling tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .harness import Harness


@pytest.fixture
def elba() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.close()
