"""Auto Scaling's stored resources. Types only."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from elba.resource import Resource


class GroupTag(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    value: str = ""
    propagate_at_launch: bool = False


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A traffic source: `type` elb (name), elbv2 (target group ARN) or vpc-lattice.

    `state`: Adding → Added → InService; Removing → Removed (then gone). `legacy`: attached through
    AttachLoadBalancers / AttachLoadBalancerTargetGroups or at creation, not through AttachTrafficSources.
    """

    identifier: str
    type: str
    state: str = "Adding"
    legacy: bool = True


class SuspendedProcess(msgspec.Struct, frozen=True, kw_only=True):
    process_name: str
    suspension_reason: str


class Group(Resource, frozen=True, kw_only=True):
    """An Auto Scaling group; `id` is its name.

    `desired_capacity_changes` are causes not yet turned into activities: each says who changed desired
    capacity, when, from what to what; the reconciler quotes them in the next activities' Cause.
    """

    KIND: ClassVar[str] = "autoscaling.group"

    arn: str
    min_size: int
    max_size: int
    desired_capacity: int
    desired_capacity_type: str = ""
    launch_configuration_name: str = ""
    launch_template: dict[str, str] | None = None
    """launch_template_id, launch_template_name, version as given."""
    mixed_instances_policy: dict[str, Any] | None = None
    availability_zones: list[str] = []
    subnet_ids: list[str] = []
    vpc_zone_identifier: str = ""
    default_cooldown: int = 300
    default_instance_warmup: int | None = None
    health_check_types: list[str] = msgspec.field(default_factory=lambda: ["EC2"])
    health_check_grace_period: int = 0
    termination_policies: list[str] = msgspec.field(default_factory=lambda: ["Default"])
    new_instances_protected_from_scale_in: bool = False
    attachments: list[Attachment] = []
    suspended_processes: list[SuspendedProcess] = []
    enabled_metrics: list[str] = []
    max_instance_lifetime: int | None = None
    capacity_rebalance: bool = False
    placement_group: str = ""
    service_linked_role_arn: str = ""
    instance_maintenance_policy: dict[str, int] | None = None
    availability_zone_distribution: str = "balanced-best-effort"
    availability_zone_impairment_policy: dict[str, Any] | None = None
    capacity_reservation_specification: dict[str, Any] | None = None
    deletion_protection: str = "none"
    instance_lifecycle_policy: dict[str, Any] | None = None
    context: str = ""
    created_time: float = 0.0
    deleting: bool = False
    """Force delete was accepted: all instances go, then the group."""
    causes: list[str] = []
    cooldown_until: float = 0.0
    tags: list[GroupTag] = []


class Member(Resource, frozen=True, kw_only=True):
    """An instance's membership in a group; `id` is the instance id.

    `lifecycle_state` as the API shows it. `in_service_at` starts grace period and warmup.
    `termination`: why it is being taken out ("" = it is not): scale-in, unhealthy, user, rebalance, refresh, delete.
    """

    KIND: ClassVar[str] = "autoscaling.member"

    group_name: str
    availability_zone: str
    instance_type: str
    lifecycle_state: str = "Pending"
    health_status: str = "Healthy"
    health_reason: str = ""
    """Which check said Unhealthy: EC2, ELB, custom …"""
    image_id: str = ""
    launch_configuration_name: str = ""
    launch_template_id: str = ""
    launch_template_name: str = ""
    launch_template_version: int = 0
    protected_from_scale_in: bool = False
    weighted_capacity: int | None = None
    launched_at: float = 0.0
    in_service_at: float = 0.0
    state_since: float = 0.0
    termination: str = ""
    activity_id: str = ""
    """The running activity that launches or terminates it."""

    def parent_id(self) -> str:
        return self.group_name


class Activity(Resource, frozen=True, kw_only=True):
    """A scaling activity; `id` is its ActivityId. Kept six weeks, also after its group is gone."""

    KIND: ClassVar[str] = "autoscaling.activity"

    group_name: str
    group_arn: str
    description: str
    cause: str
    start_time: float
    end_time: float | None = None
    status_code: str = "InProgress"
    status_message: str = ""
    progress: int = 0
    details: str = "{}"
    instance_id: str = ""
    group_deleted: bool = False

    def parent_id(self) -> str:
        return self.group_name


class Policy(Resource, frozen=True, kw_only=True):
    """A scaling policy; `id` is its ARN. `alarm_names` are those that target tracking made."""

    KIND: ClassVar[str] = "autoscaling.policy"

    group_name: str
    policy_name: str
    policy_type: str = "SimpleScaling"
    adjustment_type: str | None = None
    min_adjustment_magnitude: int | None = None
    scaling_adjustment: int | None = None
    cooldown: int | None = None
    step_adjustments: list[dict[str, float]] = []
    metric_aggregation_type: str | None = None
    estimated_instance_warmup: int | None = None
    target_tracking_configuration: dict[str, Any] | None = None
    predictive_scaling_configuration: dict[str, Any] | None = None
    enabled: bool = True
    alarm_names: list[str] = []
    created_time: float = 0.0

    def parent_id(self) -> str:
        return self.group_name


class LaunchConfiguration(Resource, frozen=True, kw_only=True):
    """`id` is its name; `data` the rest of the request in snake_case."""

    KIND: ClassVar[str] = "autoscaling.launch_configuration"

    arn: str
    data: dict[str, Any] = {}
    created_time: float = 0.0


class ScheduledAction(Resource, frozen=True, kw_only=True):
    """`id` is `<group>/<name>`; `next_time` is the next run (0 = none left)."""

    KIND: ClassVar[str] = "autoscaling.scheduled_action"

    group_name: str
    scheduled_action_name: str
    arn: str
    start_time: float | None = None
    end_time: float | None = None
    recurrence: str = ""
    time_zone: str = ""
    min_size: int | None = None
    max_size: int | None = None
    desired_capacity: int | None = None
    next_time: float = 0.0

    def parent_id(self) -> str:
        return self.group_name


class LifecycleHook(Resource, frozen=True, kw_only=True):
    """`id` is `<group>/<name>`."""

    KIND: ClassVar[str] = "autoscaling.lifecycle_hook"

    group_name: str
    lifecycle_hook_name: str
    lifecycle_transition: str
    heartbeat_timeout: int = 3600
    default_result: str = "ABANDON"
    notification_target_arn: str = ""
    role_arn: str = ""
    notification_metadata: str = ""

    def parent_id(self) -> str:
        return self.group_name


class LifecycleAction(Resource, frozen=True, kw_only=True):
    """A hook's wait for one instance; `id` is the token."""

    KIND: ClassVar[str] = "autoscaling.lifecycle_action"

    group_name: str
    lifecycle_hook_name: str
    instance_id: str
    transition: str
    started_at: float
    heartbeat_deadline: float
    global_deadline: float
    result: str = ""
    """"" while it waits; CONTINUE or ABANDON."""
    timed_out: bool = False

    def parent_id(self) -> str:
        return self.instance_id


class Decision(Resource, frozen=True, kw_only=True):
    """Why capacity changed or did not: inputs, thresholds, arithmetic, winner, what was blocked and why."""

    KIND: ClassVar[str] = "autoscaling.decision"

    group_name: str
    time: float
    trigger: str
    summary: str
    inputs: dict[str, Any] = {}
    before: int = 0
    after: int = 0

    def parent_id(self) -> str:
        return self.group_name
