"""Nodes and origins that are gone when the test is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.node.harness import ZONE, NodeProcess, Origin


@pytest.fixture
def make_node() -> Iterator[Callable[..., NodeProcess]]:
    """Makes nodes (not started), by zone; shows their logs if the test fails."""
    nodes: list[NodeProcess] = []
    # Not tmp_path: the path of a Unix socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="elba-node-") as folder:

        def make(zone: str = ZONE) -> NodeProcess:
            own = Path(folder) / str(len(nodes))
            own.mkdir()
            nodes.append(NodeProcess(own, zone))
            return nodes[-1]

        yield make
        for node in nodes:
            node.close()
            if node.log.exists():
                print(f"── node {node.zone} ──\n{node.log.read_text()}")


@pytest.fixture
def node(make_node: Callable[..., NodeProcess]) -> NodeProcess:
    """A started node of zone us-east-1a."""
    return make_node().start()


@pytest.fixture
def make_origin() -> Iterator[Callable[..., Origin]]:
    origins: list[Origin] = []

    def make(name: str, status: int = 200) -> Origin:
        origins.append(Origin(name, status))
        return origins[-1]

    yield make
    for origin in origins:
        origin.stop()
