"""ELBv2's commands: pure functions of (transaction, call, request) that change desired state or raise ApiError.

Auto Scaling uses `register_targets`, `deregister_targets` and `describe_target_health` as an API client would.
"""

from elba.elbv2.commands.health import GroupHealth, Seen, describe_target_health, record_health
from elba.elbv2.commands.targets import deregister_targets, end_draining, forget_instance, register_targets

__all__ = [
    "GroupHealth",
    "Seen",
    "deregister_targets",
    "describe_target_health",
    "end_draining",
    "forget_instance",
    "record_health",
    "register_targets",
]
