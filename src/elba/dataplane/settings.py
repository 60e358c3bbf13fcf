"""What zone nodes are told about their surroundings, out of the running server's settings (`Parts.settings`).

| key            | meaning                                                       | default                       |
|----------------|---------------------------------------------------------------|-------------------------------|
| data_dir       | nodes live in `<data_dir>/nodes/<zone>`                        | required                      |
| zones          | zone letters of each region, comma separated                   | a,b,c                         |
| regions        | regions, comma separated                                       | us-east-1                     |
| dns_addresses  | `address:port` list on which every node answers DNS            | none                          |
| front_door     | address that serves every listener's port, by Host header      | 127.0.0.1; empty = none       |
| node_workers   | worker threads per node, 0 = one per core                      | 0                             |
| first_slice    | second octet of 127.0.0.0/8 for the nodes' liveness addresses  | from the data directory's name |
| endpoint, functions_secret | where nodes have functions invoked, and what their secrets are made of | none |
| identity_ca    | PEM file of authorities that nodes trust in identity providers  | none                          |
| log_directory  | where access logs go, a folder per bucket                      | `<data_dir>/buckets`          |

The clock's scale and origin are those of the control plane's own clock.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elba.clock import Clock
from elba.dataplane.interface import Place
from elba.dataplane.protocol import Node, NodeClock, Peer

log = logging.getLogger(__name__)

LIVENESS_PORT = 4554
REPORTS_PER_MINUTE = 10
REPORT_INTERVAL_LEAST, REPORT_INTERVAL_MOST = 0.1, 1.0


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def node_clock(clock: Clock) -> NodeClock:
    """The same mapping of world time to clock time for a node: clock = origin + (world - origin) * scale."""
    scale = clock.scale
    if scale == 1.0:
        return NodeClock()
    return NodeClock(scale=scale, origin=(clock.now() - scale * clock.wall()) / (1 - scale))


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """The table above, read."""

    data_directory: Path
    zones: tuple[str, ...]
    regions: tuple[str, ...]
    dns_addresses: tuple[str, ...]
    front_door: str
    workers: int
    clock: NodeClock
    first_slice: int
    log_directory: Path
    functions_url: str = ""
    functions_secret: str = ""
    identity_ca: str = ""

    @classmethod
    def read(cls, settings: Mapping[str, str], clock: Clock) -> FleetSettings:
        directory = Path(settings["data_dir"])
        given = settings.get("first_slice")
        return cls(
            data_directory=directory,
            zones=_list(settings.get("zones", "a,b,c")),
            regions=_list(settings.get("regions", "us-east-1")),
            dns_addresses=_list(settings.get("dns_addresses", "")),
            front_door=settings.get("front_door", "127.0.0.1"),
            workers=int(settings.get("node_workers", "0")),
            clock=node_clock(clock),
            # Below the pool of VPC slices, so that it collides with no VPC of another Elba.
            first_slice=int(given) if given else 2 + zlib.crc32(str(directory).encode()) % 12,
            log_directory=Path(settings.get("log_directory") or directory / "buckets"),
            functions_url=f"{settings['endpoint']}/_elba/functions/" if settings.get("endpoint") else "",
            functions_secret=settings.get("functions_secret", ""),
            identity_ca=settings.get("identity_ca", ""),
        )

    @property
    def report_interval_seconds(self) -> float:
        """Of the world's time: ten reports in a clock minute, but no more than ten a second nor fewer than one."""
        wanted = 60 / self.clock.scale / REPORTS_PER_MINUTE
        return min(REPORT_INTERVAL_MOST, max(REPORT_INTERVAL_LEAST, wanted))

    def place_names(self, region: str) -> list[str]:
        """The region's zone names."""
        return [region + letter for letter in self.zones]

    def liveness_address(self, place: Place) -> str:
        """Where a node's peers ask whether it is there: an address of its own, so that no port is ever taken."""
        regions = self.regions if place.region in self.regions else (*self.regions, place.region)
        every = [name for region in regions for name in self.place_names(region)]
        number = every.index(place.zone) if place.zone in every else len(every)
        third, fourth = divmod(number, 50)
        spread = zlib.crc32(str(self.data_directory).encode()) % 4
        return f"127.{self.first_slice}.{255 - third}.{fourth + 1 + 50 * spread}:{LIVENESS_PORT}"

    def functions_secret_of(self, node_id: str) -> str:
        """One node's secret for `/_elba/functions/` (`server.functions.node_secret` is the same)."""
        if not self.functions_secret:
            return ""
        return hmac.new(self.functions_secret.encode(), node_id.encode(), hashlib.sha256).hexdigest()

    def _identity_authorities(self) -> str:
        """The operator's file as it is now; one that cannot be read adds nothing, and the log says so."""
        if not self.identity_ca:
            return ""
        try:
            return Path(self.identity_ca).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            log.warning("authorities of identity providers not read", extra={"cause": str(error)})
            return ""

    def node(self, place: Place) -> Node:
        """What the node at `place` is told of itself."""
        others = [zone for zone in self.place_names(place.region) if zone != place.zone]
        return Node(
            id=place.zone,
            zone=place.zone,
            region=place.region,
            clock=self.clock,
            liveness=self.liveness_address(place),
            dns=list(self.dns_addresses),
            front_door=self.front_door,
            peers=[Peer(zone=zone, address=self.liveness_address(Place(place.region, zone))) for zone in others],
            workers=self.workers,
            report_interval_seconds=self.report_interval_seconds,
            log_directory=str(self.log_directory),
            functions_url=self.functions_url,
            functions_secret=self.functions_secret_of(place.zone),
            identity_authorities=self._identity_authorities(),
        )
