"""Fixtures of ELBv2's unit tests."""

from __future__ import annotations

import pytest

from tests.unit.elbv2.account import AnAccount


@pytest.fixture
def account() -> AnAccount:
    """An account with its default VPC."""
    return AnAccount()
