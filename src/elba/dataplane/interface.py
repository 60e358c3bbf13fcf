"""The interface to the zone nodes: what the control plane may ask of them and what they tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from elba.dataplane.protocol import LoadBalancer, Report, TargetGroup


class Place(NamedTuple):
    """One zone node: there is one process per Availability Zone."""

    region: str
    zone: str


class Configuration(NamedTuple):
    """What one zone node should have, whole; the fleet sends it as a snapshot or as the delta to what the node has.

    An unchanged load balancer or target group is best the same object as before: then it costs nothing to compare.
    """

    load_balancers: Sequence[LoadBalancer]
    target_groups: Sequence[TargetGroup]


NOTHING = Configuration((), ())

ReportListener = Callable[[Place, Report], None]
"""Called on the event loop; must not wait. `Report.time` is the world's time (`Clock.wall`)."""


class Nodes(Protocol):
    """All zone nodes. `apply` is idempotent; a node that is away gets its configuration when it is back.

    The contract suite `elba.testing.nodes_contract` runs against the fake and the real fleet.
    """

    def listen(self, listener: ReportListener) -> None:
        """Call `listener` with each report of each node."""

    async def apply(self, place: Place, configuration: Configuration) -> None:
        """Start the zone's node if there is none, bring it to `configuration`, return once it has acknowledged.

        Without load balancers no node is started.

        Raises: NodeAway if it does not answer (it will get the configuration later), NodeRefused if it cannot
        take the configuration (it keeps the one it had).
        """

    def up(self, place: Place) -> bool:
        """Whether the node answers at present."""

    def places(self) -> Sequence[Place]:
        """The nodes there are."""

    async def close(self) -> None:
        """Let go of the nodes; they go on carrying traffic."""


class NodeAway(Exception):
    """The node does not answer."""


class NodeRefused(Exception):
    """The node says that it cannot take the configuration, and why."""
