"""How ELBv2's resources look in its answers. Pure."""

from __future__ import annotations

from typing import Any

from elba.call import Answer
from elba.elbv2.resources import (
    Listener,
    LoadBalancer,
    LoadBalancerZone,
    Rule,
    TargetGroup,
    TrustStore,
    TrustStoreRevocation,
)
from elba.store.interface import View


def zones_answer(zones: list[LoadBalancerZone]) -> list[Answer]:
    """AvailabilityZones. An application load balancer shows no addresses there."""
    return [{"zone_name": zone.zone_name, "subnet_id": zone.subnet_id, "load_balancer_addresses": []} for zone in zones]


def load_balancer_answer(balancer: LoadBalancer) -> Answer:
    state: dict[str, str] = {"code": balancer.state_code}
    if balancer.state_reason:
        state["reason"] = balancer.state_reason
    return {
        "load_balancer_arn": balancer.id,
        "dns_name": balancer.dns_name,
        "canonical_hosted_zone_id": balancer.canonical_hosted_zone_id,
        "created_time": balancer.created_time,
        "load_balancer_name": balancer.load_balancer_name,
        "scheme": balancer.scheme,
        "vpc_id": balancer.vpc_id,
        "state": state,
        "type": balancer.type,
        "availability_zones": zones_answer(balancer.zones),
        "security_groups": balancer.security_groups,
        "ip_address_type": balancer.ip_address_type,
    }


def listener_answer(listener: Listener, default_rule: Rule) -> Answer:
    answer: Answer = {
        "listener_arn": listener.id,
        "load_balancer_arn": listener.load_balancer_arn,
        "port": listener.port,
        "protocol": listener.protocol,
        "default_actions": actions_answer(default_rule.actions),
    }
    if listener.protocol == "HTTPS":
        answer["certificates"] = [{"certificate_arn": listener.certificates[0]}] if listener.certificates else []
        answer["ssl_policy"] = listener.ssl_policy
        answer["mutual_authentication"] = listener.mutual_authentication or {"mode": "off"}
    return answer


def actions_answer(actions: list[dict[str, Any]]) -> list[Answer]:
    """Actions as Describe calls show them: a client secret never comes back."""
    shown = []
    for action in actions:
        oidc = action.get("authenticate_oidc_config")
        if oidc is not None:
            hidden = {key: value for key, value in oidc.items() if key != "client_secret"}
            action = {**action, "authenticate_oidc_config": hidden}
        shown.append(action)
    return shown


def rule_answer(rule: Rule) -> Answer:
    return {
        "rule_arn": rule.id,
        "priority": rule.priority,
        "conditions": rule.conditions,
        "actions": actions_answer(rule.actions),
        "is_default": rule.is_default,
        "transforms": rule.transforms or None,
    }


def target_group_answer(group: TargetGroup) -> Answer:
    return {
        "target_group_arn": group.id,
        "target_group_name": group.target_group_name,
        "protocol": group.protocol,
        "port": group.port,
        "vpc_id": group.vpc_id,
        "health_check_protocol": group.health_check_protocol,
        "health_check_port": group.health_check_port,
        "health_check_enabled": group.health_check_enabled,
        "health_check_interval_seconds": group.health_check_interval_seconds,
        "health_check_timeout_seconds": group.health_check_timeout_seconds,
        "healthy_threshold_count": group.healthy_threshold_count,
        "unhealthy_threshold_count": group.unhealthy_threshold_count,
        "health_check_path": group.health_check_path,
        "matcher": group.matcher or None,
        "load_balancer_arns": group.load_balancer_arns,
        "target_type": group.target_type,
        "protocol_version": group.protocol_version,
        "ip_address_type": group.ip_address_type,
        "target_control_port": group.target_control_port,
    }


def attributes_answer(attributes: dict[str, str]) -> list[Answer]:
    return [{"key": key, "value": value} for key, value in attributes.items()]


def capacity_answer(balancer: LoadBalancer, now: float, decreases_per_day: int) -> Answer:
    """DescribeCapacityReservation: one state per zone, each with its share of the reserved units."""
    recent = [at for at in balancer.capacity_decreases if now - at < 86400]
    answer: Answer = {"decrease_requests_remaining": max(0, decreases_per_day - len(recent))}
    if balancer.capacity_modified_time:
        answer["last_modified_time"] = balancer.capacity_modified_time
    if balancer.capacity_units:
        answer["minimum_load_balancer_capacity"] = {"capacity_units": balancer.capacity_units}
        answer["capacity_reservation_state"] = [
            {
                "state": {"code": "provisioned"},
                "availability_zone": zone.zone_name,
                "effective_capacity_units": balancer.capacity_units / len(balancer.zones),
            }
            for zone in balancer.zones
        ]
    else:
        answer["capacity_reservation_state"] = []
    return answer


def trust_store_answer(view: View, store: TrustStore) -> Answer:
    revocations = view.children(TrustStoreRevocation, store.account, store.region, store.id)
    return {
        "name": store.name,
        "trust_store_arn": store.id,
        "status": "ACTIVE",
        "number_of_ca_certificates": store.ca_certificates,
        "total_revoked_entries": sum(revocation.revoked_entries for revocation in revocations),
    }


def revocation_answer(revocation: TrustStoreRevocation) -> Answer:
    return {
        "trust_store_arn": revocation.trust_store_arn,
        "revocation_id": revocation.revocation_id,
        "revocation_type": "CRL",
        "number_of_revoked_entries": revocation.revoked_entries,
    }
