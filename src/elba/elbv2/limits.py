"""Default quotas of ELBv2, as DescribeAccountLimits names them. Source: alb.md §21, elb-api.md B1."""

from __future__ import annotations

LIMITS: dict[str, int] = {
    "application-load-balancers": 50,
    "network-load-balancers": 50,
    "gateway-load-balancers": 100,
    "gateway-load-balancers-per-vpc": 100,
    "target-groups": 3000,
    "geneve-target-groups": 100,
    "targets-per-target-group": 1000,
    "targets-per-application-load-balancer": 1000,
    "targets-per-network-load-balancer": 3000,
    "targets-per-availability-zone-per-network-load-balancer": 500,
    "targets-per-availability-zone-per-gateway-load-balancer": 300,
    "target-id-registrations-per-application-load-balancer": 1000,
    "target-groups-per-application-load-balancer": 100,
    "target-groups-per-action-on-application-load-balancer": 5,
    "target-groups-per-action-on-network-load-balancer": 1,
    "listeners-per-application-load-balancer": 50,
    "listeners-per-network-load-balancer": 50,
    "rules-per-application-load-balancer": 100,
    "condition-values-per-alb-rule": 5,
    "condition-wildcards-per-alb-rule": 5,
    "certificates-per-application-load-balancer": 25,
    "certificates-per-network-load-balancer": 25,
    "network-load-balancer-enis-per-vpc": 1200,
}

TAGS_PER_RESOURCE = 50
VERIFY_LISTENERS_PER_LOAD_BALANCER = 2
REVOCATIONS_PER_TRUST_STORE = 30
REVOKED_ENTRIES_PER_TRUST_STORE = 500_000
TRUST_STORES = 20
