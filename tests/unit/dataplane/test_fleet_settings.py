"""What nodes are told about their surroundings."""

from __future__ import annotations

import pytest

from elba.clock import RealClock
from elba.dataplane.interface import Place
from elba.dataplane.settings import FleetSettings, node_clock

SETTINGS = {
    "data_dir": "/var/elba",
    "zones": "a,b,c",
    "regions": "us-east-1,eu-west-1",
    "dns_addresses": "127.0.0.1:4553,127.0.0.1:4554",
    "node_workers": "2",
    "first_slice": "32",
}


def read(scale: float = 1.0, **more: str) -> FleetSettings:
    return FleetSettings.read({**SETTINGS, **more}, RealClock(scale, origin=1000.0))


def test_a_node_knows_its_surroundings() -> None:
    node = read().node(Place("us-east-1", "us-east-1b"))
    assert (node.id, node.zone, node.region) == ("us-east-1b", "us-east-1b", "us-east-1")
    assert node.dns == ["127.0.0.1:4553", "127.0.0.1:4554"]
    assert (node.front_door, node.workers, node.log_directory) == ("127.0.0.1", 2, "/var/elba/buckets")
    assert [peer.zone for peer in node.peers] == ["us-east-1a", "us-east-1c"]


def test_every_node_has_a_liveness_address_of_its_own_and_peers_agree() -> None:
    settings = read()
    places = [Place(region, zone) for region in settings.regions for zone in settings.place_names(region)]
    nodes = {place.zone: settings.node(place) for place in places}
    assert len({node.liveness for node in nodes.values()}) == 6
    assert all(node.liveness.startswith("127.32.") for node in nodes.values())
    for node in nodes.values():
        assert all(peer.address == nodes[peer.zone].liveness for peer in node.peers)


def test_zones_that_nobody_named_have_one_too() -> None:
    settings = read()
    elsewhere = Place("ap-south-1", "ap-south-1a")
    assert settings.liveness_address(elsewhere) != settings.liveness_address(Place("us-east-1", "us-east-1a"))


@pytest.mark.parametrize(("scale", "seconds"), [(1, 1.0), (6, 1.0), (20, 0.3), (60, 0.1), (1000, 0.1)])
def test_about_ten_reports_a_clock_minute(scale: float, seconds: float) -> None:
    assert read(scale).report_interval_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("scale", [0.5, 2.0, 60.0])
def test_the_nodes_clock_is_ours(scale: float) -> None:
    clock = RealClock(scale, origin=1_000_000.0)
    told = node_clock(clock)
    world = 1_700_000_000.0
    ours = clock.origin + (world - clock.origin) * scale
    assert told.origin + (world - told.origin) * told.scale == pytest.approx(ours, abs=1.0)


def test_an_unscaled_clock_is_the_worlds() -> None:
    told = node_clock(RealClock())
    assert (told.scale, told.origin + (5.0 - told.origin) * told.scale) == (1.0, 5.0)
