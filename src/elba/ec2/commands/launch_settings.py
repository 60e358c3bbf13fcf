"""What a launch says of its instances that does not differ among them: market, placement, metadata, credits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elba.call import Call, Request
from elba.ec2 import zones
from elba.ec2.faults import invalid, missing
from elba.ec2.instance_types import InstanceType
from elba.ec2.prices import spot_price
from elba.ec2.profiles import resolve_profile
from elba.ec2.resources import KeyPair, PlacementGroup
from elba.ec2.user_data import check_user_data
from elba.errors import ApiError
from elba.store.interface import View


def launch_settings(view: View, call: Call, request: Request, type_: InstanceType) -> dict[str, Any]:
    """The instance's fields that come from the request and do not differ among instances."""
    settings: dict[str, Any] = {
        "user_data": check_user_data(request.get("user_data")),
        "client_token": request.get("client_token") or "",
        "monitoring": bool((request.get("monitoring") or {}).get("enabled")),
        "disable_api_termination": bool(request.get("disable_api_termination")),
        "disable_api_stop": bool(request.get("disable_api_stop")),
        "ebs_optimized": bool(request.get("ebs_optimized")),
        "hibernation": bool((request.get("hibernation_options") or {}).get("configured")),
        "enclave": bool((request.get("enclave_options") or {}).get("enabled")),
        "auto_recovery": (request.get("maintenance_options") or {}).get("auto_recovery") or "default",
        "capacity_reservation_preference": (request.get("capacity_reservation_specification") or {}).get(
            "capacity_reservation_preference"
        )
        or "open",
    }
    behavior = request.get("instance_initiated_shutdown_behavior") or "stop"
    if behavior not in ("stop", "terminate"):
        raise invalid(behavior, "instanceInitiatedShutdownBehavior")
    settings["instance_initiated_shutdown_behavior"] = behavior
    if key_name := request.get("key_name"):
        if not any(k.key_name == key_name for k in view.all(KeyPair, call.account, call.region)):
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
        settings["key_name"] = key_name
    if profile := resolve_profile(view, call, request.get("iam_instance_profile")):
        settings["iam_instance_profile_arn"] = profile.arn
        settings["iam_instance_profile_id"] = profile.instance_profile_id
    settings |= metadata_settings(request.get("metadata_options") or {})
    settings |= _market(call, request)
    settings |= _placement(view, call, request.get("placement") or {})
    settings["cpu_credits"] = _credits(request, type_)
    if options := request.get("cpu_options"):
        cores, threads = options.get("core_count"), options.get("threads_per_core")
        if (cores is None) != (threads is None):
            raise missing("CoreCount" if cores is None else "ThreadsPerCore")
        if cores is not None:
            if not 1 <= cores <= type_.cores or threads not in (1, type_.threads_per_core):
                raise invalid(f"{cores}, {threads}", "cpuOptions", f"Not offered by {type_.name}.")
            settings["core_count"], settings["threads_per_core"] = cores, threads
    names = request.get("private_dns_name_options") or {}
    settings["enable_resource_name_dns_a_record"] = bool(names.get("enable_resource_name_dns_a_record"))
    if names.get("hostname_type"):
        settings["hostname_type"] = names["hostname_type"]
    return settings


def metadata_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """MetadataOptions as fields of an instance: only those that were given. Raises: ApiError InvalidParameterValue."""
    settings: dict[str, Any] = {}
    for name, allowed in (
        ("http_tokens", ("optional", "required")),
        ("http_endpoint", ("enabled", "disabled")),
        ("http_protocol_ipv6", ("enabled", "disabled")),
        ("instance_metadata_tags", ("enabled", "disabled")),
    ):
        value = options.get(name)
        if value:
            if value not in allowed:
                raise invalid(value, name)
            settings[name] = value
    hops = options.get("http_put_response_hop_limit")
    if hops is not None:
        if not 1 <= hops <= 64:
            raise invalid(hops, "httpPutResponseHopLimit", "It must be between 1 and 64.")
        settings["http_put_response_hop_limit"] = hops
    return settings


def _market(call: Call, request: Request) -> dict[str, Any]:
    options = request.get("instance_market_options") or {}
    market = options.get("market_type")
    if not market or market == "on-demand":
        return {}
    if market != "spot":
        raise ApiError("InvalidParameterValue", f"Invalid value '{market}' for MarketType.")
    spot = options.get("spot_options") or {}
    type_ = spot.get("spot_instance_type") or "one-time"
    behavior = spot.get("instance_interruption_behavior") or "terminate"
    if behavior != "terminate" and type_ != "persistent":
        raise ApiError(
            "InvalidParameterCombination",
            f"One-time Spot Instances cannot have the interruption behavior '{behavior}'.",
        )
    return {
        "lifecycle": "spot",
        "spot_instance_request_id": f"sir-{call.ids.hex(8)}",
        "spot_interruption_behavior": behavior,
        "spot_instance_type": type_,
        "spot_max_price": str(spot.get("max_price") or ""),
    }


def check_max_price(settings: Mapping[str, Any], type_: InstanceType, zone: str) -> None:
    """Raises: ApiError SpotMaxPriceTooLow, InvalidParameterValue."""
    given = settings.get("spot_max_price")
    if not given:
        return
    try:
        most = float(given)
    except ValueError:
        most = 0.0
    if not 0 < most < float("inf"):
        raise ApiError("InvalidParameterValue", f"'{given}' is not a valid Spot Instance price")
    if most < (needed := spot_price(type_.name, zone)):
        raise ApiError(
            "SpotMaxPriceTooLow",
            f"Your Spot request price of {given} is lower than the minimum required Spot request fulfillment price of "
            f"{needed:g}.",
        )


def _placement(view: View, call: Call, placement: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    tenancy = placement.get("tenancy") or "default"
    if tenancy not in ("default", "dedicated", "host"):
        raise invalid(tenancy, "tenancy")
    settings["tenancy"] = tenancy
    name = placement.get("group_name")
    if name:
        groups = view.all(PlacementGroup, call.account, call.region)
        if not any(g.group_name == name for g in groups):
            raise ApiError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        settings["placement_group"] = name
        settings["partition_number"] = placement.get("partition_number")
    zone = placement.get("availability_zone")
    if zone and zone not in zones.zone_names(view, call.region):
        raise ApiError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    return settings


def _credits(request: Request, type_: InstanceType) -> str:
    given = (request.get("credit_specification") or {}).get("cpu_credits")
    if not given:
        return type_.default_credits
    if given not in ("standard", "unlimited"):
        raise invalid(given, "cpuCredits")
    if not type_.burstable:
        raise ApiError(
            "InvalidParameterCombination",
            f"The {type_.name} instance type does not support T2 Unlimited.",
        )
    return str(given)
