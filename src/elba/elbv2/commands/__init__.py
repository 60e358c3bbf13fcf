"""ELBv2's commands: pure functions of (transaction, call, request) that change desired state or raise ApiError.

Auto Scaling uses `register_targets`, `deregister_targets` and `describe_target_health` as an API client would.
"""

from elba.elbv2.commands.attributes import (
    modify_listener_attributes,
    modify_load_balancer_attributes,
    modify_target_group_attributes,
)
from elba.elbv2.commands.health import (
    OUT_OF_SERVICE,
    GroupHealth,
    Seen,
    describe_target_health,
    health_shown,
    record_health,
)
from elba.elbv2.commands.listeners import (
    add_listener_certificates,
    create_listener,
    delete_listener,
    modify_listener,
    remove_listener_certificates,
)
from elba.elbv2.commands.load_balancers import (
    create_load_balancer,
    delete_load_balancer,
    modify_capacity_reservation,
    modify_ip_pools,
    set_ip_address_type,
    set_load_balancer_state,
    set_security_groups,
    set_subnets,
)
from elba.elbv2.commands.rules import create_rule, delete_rule, modify_rule, set_rule_priorities
from elba.elbv2.commands.tags import add_tags, remove_tags
from elba.elbv2.commands.target_groups import create_target_group, delete_target_group, modify_target_group
from elba.elbv2.commands.targets import deregister_targets, end_draining, forget_instance, register_targets
from elba.elbv2.commands.trust_stores import (
    add_trust_store_revocations,
    create_trust_store,
    delete_shared_trust_store_association,
    delete_trust_store,
    modify_trust_store,
    remove_trust_store_revocations,
)

__all__ = [
    "OUT_OF_SERVICE",
    "GroupHealth",
    "Seen",
    "add_listener_certificates",
    "add_tags",
    "add_trust_store_revocations",
    "create_listener",
    "create_load_balancer",
    "create_rule",
    "create_target_group",
    "create_trust_store",
    "delete_listener",
    "delete_load_balancer",
    "delete_rule",
    "delete_shared_trust_store_association",
    "delete_target_group",
    "delete_trust_store",
    "deregister_targets",
    "describe_target_health",
    "end_draining",
    "forget_instance",
    "health_shown",
    "modify_capacity_reservation",
    "modify_ip_pools",
    "modify_listener",
    "modify_listener_attributes",
    "modify_load_balancer_attributes",
    "modify_rule",
    "modify_target_group",
    "modify_target_group_attributes",
    "modify_trust_store",
    "record_health",
    "register_targets",
    "remove_listener_certificates",
    "remove_tags",
    "remove_trust_store_revocations",
    "set_ip_address_type",
    "set_load_balancer_state",
    "set_rule_priorities",
    "set_security_groups",
    "set_subnets",
]
