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
    """An Auto Scaling group; `id` is its name."""

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
    """Sentences that say who changed desired capacity, not yet quoted by an activity."""
    invoking_alarms: list[dict[str, Any]] = []
    cooldown_until: float = 0.0
    cooldown_seconds_due: int = 0
    """The cooldown that begins when the last activity of a simple policy's change has ended."""
    launch_failures: int = 0
    """Launches that failed in a row; `launch_not_before` is when the next may be tried."""
    launch_not_before: float = 0.0
    zone_failures: dict[str, float] = {}
    """Zones that had no capacity, and until when they are passed over (balanced-best-effort)."""
    replacements_due: int = 0
    """Unhealthy members taken out whose replacement is not launched yet."""
    launch_override: dict[str, Any] | None = None
    """What an instance refresh launches from: `launch_template` or `mixed_instances_policy`."""
    surge: int = 0
    """Units above desired capacity that rebalancing has asked for and not yet taken away."""
    surge_cause: str = ""
    surge_blocked_until: float = 0.0
    shrink_blocked: bool = False
    """All that could be taken out is protected, and an activity says so."""
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
    subnet_id: str = ""
    spot: bool = False
    replacement: bool = False
    """Launched for an unhealthy one: no further ELB replacement before it has settled."""
    impaired_since: float = 0.0
    hooks_started: bool = False
    """The lifecycle actions of its present transition exist (or there were no hooks)."""
    from_warm_pool: bool = False
    root_task_id: str = ""
    """The running task that replaces its root volume."""
    from_group: bool = False
    """It went back into the warm pool when the group scaled in."""

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
    acted_on: float = 0.0
    """Start of the newest period that target tracking changed capacity for: it does not act on the same twice."""

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
    heartbeat_timeout: int = 3600
    default_result: str = "ABANDON"
    result: str = ""
    """"" while it waits; CONTINUE or ABANDON."""
    timed_out: bool = False

    @property
    def waits(self) -> bool:
        return not self.result

    def parent_id(self) -> str:
        return self.instance_id


class WarmPool(Resource, frozen=True, kw_only=True):
    """`id` is the group's name. `max_group_prepared_capacity` None: the group's maximum size."""

    KIND: ClassVar[str] = "autoscaling.warm_pool"

    min_size: int = 0
    max_group_prepared_capacity: int | None = None
    pool_state: str = "Stopped"
    reuse_on_scale_in: bool = False
    pending_delete: bool = False

    def parent_id(self) -> str:
        return self.id


class InstanceRefresh(Resource, frozen=True, kw_only=True):
    """`id` is its InstanceRefreshId; kept six weeks. `preferences` are the resolved ones."""

    KIND: ClassVar[str] = "autoscaling.instance_refresh"

    group_name: str
    status: str = "Pending"
    status_reason: str = ""
    start_time: float = 0.0
    end_time: float | None = None
    strategy: str = "Rolling"
    preferences: dict[str, Any] = {}
    desired_configuration: dict[str, Any] | None = None
    previous_configuration: dict[str, Any] = {}
    """What the group launched from when the refresh began: where a rollback goes."""
    to_replace: list[str] = []
    """Members that are still to be replaced."""
    total: int = 0
    warm_to_replace: list[str] = []
    """Members of the warm pool that are still to be replaced, after all others."""
    warm_total: int = 0
    checkpoint: int = 0
    """How many of the checkpoint percentages are behind us."""
    wait_until: float = 0.0
    stuck_since: float = 0.0
    rollback_reason: str = ""
    rollback_start_time: float = 0.0
    rolled_back_percentage: int = 0
    rolled_back_left: int = 0
    """How many instances were still to be replaced when the rollback began."""

    @property
    def active(self) -> bool:
        return self.status in ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")

    def parent_id(self) -> str:
        return self.group_name


class TerminationAdvice(Resource, frozen=True, kw_only=True):
    """A question to the group's termination function, and its answer; `id` is the group's name.

    `cause`: SCALE_IN, REBALANCE, INSTANCE_REFRESH or MAX_INSTANCE_LIFETIME. `state`: asked, answered, or failed (asked
    again after `retry_at`); `failures` counts those in a row.
    """

    KIND: ClassVar[str] = "autoscaling.termination_advice"

    function_arn: str
    payload: str
    state: str
    cause: str = "SCALE_IN"
    failures: int = 0
    instance_ids: list[str] = []
    retry_at: float = 0.0

    def parent_id(self) -> str:
        return self.id


class NotificationConfiguration(Resource, frozen=True, kw_only=True):
    """`id` is `<group>|<topic ARN>`."""

    KIND: ClassVar[str] = "autoscaling.notification_configuration"

    group_name: str
    topic_arn: str
    notification_types: list[str] = []

    def parent_id(self) -> str:
        return self.group_name


class LaunchToken(Resource, frozen=True, kw_only=True):
    """Remembers LaunchInstances by its client token: `id` is `<group>|<token>`."""

    KIND: ClassVar[str] = "autoscaling.launch_token"

    group_name: str
    digest: str
    answer: dict[str, Any] = {}
    created_at: float = 0.0

    def parent_id(self) -> str:
        return self.group_name


class Forecast(Resource, frozen=True, kw_only=True):
    """A predictive policy's forecast; `id` is the policy's ARN. `hours` are numbered since the epoch, in their order:
    those to come as the latest forecast has them, and before them those of the past year as they were last forecast.

    `correlation`: of the scaling metric and the load per instance, if that is known.
    """

    KIND: ClassVar[str] = "autoscaling.forecast"

    group_name: str
    update_time: float = 0.0
    hours: list[int] = []
    load: list[float] = []
    capacity: list[int] = []
    correlation: float | None = None

    def parent_id(self) -> str:
        return self.group_name


class Decision(Resource, frozen=True, kw_only=True):
    """Why capacity changed or did not: inputs, thresholds, arithmetic, winner, what was blocked and why.

    `times` decisions alike, the first at `since`, the last at `time`: a policy that is held back says so each minute.
    """

    KIND: ClassVar[str] = "autoscaling.decision"

    group_name: str
    time: float
    trigger: str
    summary: str
    inputs: dict[str, Any] = {}
    before: int = 0
    after: int = 0
    since: float = 0.0
    times: int = 1

    def parent_id(self) -> str:
        return self.group_name
