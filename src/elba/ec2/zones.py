"""Regions and Availability Zones: names, ids and what they are called in DNS."""

from __future__ import annotations

import re

from elba.ec2.resources import AddressPool
from elba.store.interface import View

REGIONS = (
    "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
    "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1",
    "us-east-1", "us-east-2", "us-west-1", "us-west-2",
)  # fmt: skip
"""Those that every AWS account has without opting in. Source: EC2 user guide, "Regions and zones"."""

_DIRECTIONS = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}


def zone_names(view: View, region: str) -> list[str]:
    """The region's zones: its name and the letters that this Elba's zones have."""
    return [region + letter for letter in address_pool(view).zone_letters]


def address_pool(view: View) -> AddressPool:
    """The store's pool; the defaults if none was written."""
    found = view.get(AddressPool, "elba", "elba", "slices")
    return found or AddressPool(account="elba", region="elba", id="slices")


def zone_id(zone: str) -> str:
    """The zone's id, as `use1-az1` for `us-east-1a`. AWS deals letters to ids per account; here a is always 1."""
    match = re.fullmatch(r"([a-z]+)(?:-([a-z]+))?-([a-z]+)-(\d+)([a-z])", zone)
    if match is None:
        return f"{zone[:-1]}-az{ord(zone[-1:] or 'a') - ord('a') + 1}"
    first, middle, direction, number, letter = match.groups()
    short = _DIRECTIONS.get(direction, direction[0])
    return f"{first}{(middle or '')[:1]}{short}{number}-az{ord(letter) - ord('a') + 1}"


def private_dns_name(region: str, private_ip: str) -> str:
    """`ip-10-0-0-4.ec2.internal` in us-east-1, `….<region>.compute.internal` elsewhere."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{private_ip.replace('.', '-')}.{domain}"


def public_dns_name(region: str, public_ip: str) -> str:
    domain = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{public_ip.replace('.', '-')}.{domain}.amazonaws.com"
