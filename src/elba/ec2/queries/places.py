"""Regions, zones, and what an account may have in them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.defaults import default_vpc
from elba.ec2.faults import invalid
from elba.ec2.filters import Fields, select
from elba.errors import ApiError
from elba.store.interface import View


def describe_availability_zones(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameterValue for a zone that is not the region's."""
    found = zones.zone_names(view, call.region)
    if names := request.get("zone_names"):
        absent = [n for n in names if n not in found]
        if absent:
            raise ApiError("InvalidParameterValue", f"Invalid availability zone: [{absent[0]}]")
        found = list(names)
    if ids := request.get("zone_ids"):
        by_id = {zones.zone_id(n): n for n in found}
        absent = [i for i in ids if i not in by_id]
        if absent:
            raise ApiError("InvalidParameterValue", f"Invalid availability zone-id: [{absent[0]}]")
        found = [by_id[i] for i in ids]
    fields: Fields[str] = {
        "group-name": lambda z: _group(call.region),
        "group-long-name": lambda z: call.region,
        "message": lambda z: None,
        "opt-in-status": lambda z: "opt-in-not-required",
        "parent-zone-id": lambda z: None,
        "parent-zone-name": lambda z: None,
        "region-name": lambda z: call.region,
        "state": lambda z: "available",
        "zone-id": zones.zone_id,
        "zone-name": lambda z: z,
        "zone-type": lambda z: "availability-zone",
    }
    return {
        "availability_zones": [
            {
                "zone_name": zone,
                "zone_id": zones.zone_id(zone),
                "zone_type": "availability-zone",
                "region_name": call.region,
                "group_name": _group(call.region),
                "group_long_name": call.region,
                "network_border_group": call.region,
                "opt_in_status": "opt-in-not-required",
                "state": "available",
                "messages": [],
            }
            for zone in select(found, request.get("filters"), fields)
        ]
    }


def _group(region: str) -> str:
    return f"{region}-zg-1"


def describe_regions(view: View, call: Call, request: Request, regions: tuple[str, ...] = zones.REGIONS) -> Answer:
    """`regions` are those that this Elba serves."""
    found = list(regions)
    if names := request.get("region_names"):
        for name in names:
            if name not in found:
                raise ApiError("InvalidParameterValue", f"Invalid region: {name}")
        found = list(names)
    fields: Fields[str] = {
        "endpoint": lambda r: f"ec2.{r}.amazonaws.com",
        "opt-in-status": lambda r: "opt-in-not-required",
        "region-name": lambda r: r,
    }
    return {
        "regions": [
            {
                "region_name": region,
                "endpoint": f"ec2.{region}.amazonaws.com",
                "opt_in_status": "opt-in-not-required",
            }
            for region in select(found, request.get("filters"), fields)
        ]
    }


def describe_account_attributes(view: View, call: Call, request: Request) -> Answer:
    vpc = default_vpc(view, call)
    known = {
        "supported-platforms": ["VPC"],
        "default-vpc": [vpc.id if vpc else "none"],
        "max-instances": ["100000"],
        "vpc-max-security-groups-per-interface": ["5"],
        "max-elastic-ips": ["65534"],
        "vpc-max-elastic-ips": ["65534"],
    }
    names = request.get("attribute_names") or list(known)
    for name in names:
        if name not in known:
            raise invalid(name, "attributeName")
    return {
        "account_attributes": [
            {"attribute_name": name, "attribute_values": [{"attribute_value": v} for v in known[name]]}
            for name in names
        ]
    }
