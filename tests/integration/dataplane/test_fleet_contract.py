"""The fleet of real zone nodes keeps the contract of all zone nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from elba.testing.nodes_contract import NodesContract, NodesKit
from tests.integration.dataplane.kit import RealKit

pytestmark = pytest.mark.integration


class TestFleet(NodesContract):
    @pytest.fixture
    def kit(self) -> Iterator[NodesKit]:
        kit = RealKit()
        yield kit
        kit.close()
