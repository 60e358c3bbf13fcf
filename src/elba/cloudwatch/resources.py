"""CloudWatch's stored resources (not its datapoints: those are in the series engine). Types only."""

from __future__ import annotations

from typing import Any, ClassVar

from elba.resource import Resource

Tags = dict[str, str]


class Alarm(Resource, frozen=True, kw_only=True):
    """A metric alarm; `id` is its name, unique among metric and composite alarms of the owner."""

    KIND: ClassVar[str] = "cloudwatch.alarm"

    arn: str
    description: str | None = None
    actions_enabled: bool = True
    ok_actions: list[str] = []
    alarm_actions: list[str] = []
    insufficient_data_actions: list[str] = []
    metric_name: str | None = None
    namespace: str | None = None
    statistic: str | None = None
    extended_statistic: str | None = None
    dimensions: list[dict[str, str]] = []
    period: int | None = None
    unit: str | None = None
    metrics: list[dict[str, Any]] = []
    evaluation_periods: int = 1
    datapoints_to_alarm: int | None = None
    threshold: float | None = None
    comparison_operator: str = ""
    treat_missing_data: str | None = None
    evaluate_low_sample_count_percentile: str | None = None
    threshold_metric_id: str | None = None
    evaluation_window: dict[str, Any] | None = None
    configuration_updated: float = 0.0
    state_value: str = "INSUFFICIENT_DATA"
    state_reason: str = "Unchecked: Initial alarm creation"
    state_reason_data: str | None = None
    state_updated: float = 0.0
    state_transitioned: float = 0.0
    muted_from: str | None = None
    """The state before the present one, whose actions a mute rule holds back; None if none are held back."""
    tags: Tags = {}


class CompositeAlarm(Resource, frozen=True, kw_only=True):
    """`id` is its name."""

    KIND: ClassVar[str] = "cloudwatch.composite_alarm"

    arn: str
    alarm_rule: str
    description: str | None = None
    actions_enabled: bool = True
    ok_actions: list[str] = []
    alarm_actions: list[str] = []
    insufficient_data_actions: list[str] = []
    actions_suppressor: str | None = None
    actions_suppressor_wait_period: int | None = None
    actions_suppressor_extension_period: int | None = None
    actions_suppressed_by: str | None = None
    actions_suppressed_reason: str | None = None
    suppression_ends: float | None = None
    """When the present wait or extension period ends; the action of the state then held is carried out."""
    actions_due: bool = False
    """True while the actions of the present state are held back by the suppressor."""
    evaluated_on: str = ""
    """The children's states at the last evaluation: the rule is evaluated when they differ, not otherwise."""
    previous_state: str = "INSUFFICIENT_DATA"
    """The state before the present one, as the actions that are held back will report it."""
    configuration_updated: float = 0.0
    state_value: str = "INSUFFICIENT_DATA"
    state_reason: str = "Unchecked: Initial alarm creation"
    state_reason_data: str | None = None
    state_updated: float = 0.0
    state_transitioned: float = 0.0
    muted_from: str | None = None
    """The state before the present one, whose actions a mute rule holds back; None if none are held back."""
    tags: Tags = {}


class AlarmAction(Resource, frozen=True, kw_only=True):
    """One action to be carried out, once; written by the alarm evaluator, deleted by whoever carried it out.

    `id` is a UUID. `service` says whose it is (autoscaling, sns, ec2, lambda): that service's reconciler takes it,
    acts, and in the same write puts an AlarmHistoryItem with the outcome and deletes this.
    """

    KIND: ClassVar[str] = "cloudwatch.alarm_action"

    service: str
    action_arn: str
    alarm_name: str
    alarm_arn: str
    old_state: str
    state: str
    state_reason: str
    state_reason_data: str = ""
    time: float = 0.0
    old_state_reason: str = ""
    old_state_reason_data: str = ""
    old_time: float = 0.0
    """Why and since when the alarm was in `old_state`; "" and 0 if that is not known."""
    repeated: bool = False
    """True for the once-a-minute repetition that scaling policies get while the state lasts."""


class AlarmHistoryItem(Resource, frozen=True, kw_only=True):
    """`id` is `<alarm name>/<sequence>`; kept 30 days, also after the alarm is gone."""

    KIND: ClassVar[str] = "cloudwatch.alarm_history_item"

    alarm_name: str
    alarm_type: str
    timestamp: float
    item_type: str
    summary: str
    data: str = "{}"

    def parent_id(self) -> str:
        return self.alarm_name


class AnomalyDetector(Resource, frozen=True, kw_only=True):
    """A trained band for one metric or one expression; `id` identifies what it watches.

    `queries` is the MetricDataQueries of the metric-math form, empty for a single metric.
    """

    KIND: ClassVar[str] = "cloudwatch.anomaly_detector"

    detector_id: str = ""
    namespace: str | None = None
    metric_name: str | None = None
    dimensions: list[dict[str, str]] = []
    stat: str | None = None
    queries: list[dict[str, Any]] = []
    excluded_time_ranges: list[dict[str, float]] = []
    metric_timezone: str | None = None
    periodic_spikes: bool | None = None
    created: float = 0.0


class Dashboard(Resource, frozen=True, kw_only=True):
    """`id` is its name; global (region `aws-global`)."""

    KIND: ClassVar[str] = "cloudwatch.dashboard"

    arn: str
    body: str
    last_modified: float = 0.0
    tags: Tags = {}


class MetricStream(Resource, frozen=True, kw_only=True):
    """`id` is its name. Filters and statistics configurations are kept as they were sent."""

    KIND: ClassVar[str] = "cloudwatch.metric_stream"

    arn: str
    firehose_arn: str
    role_arn: str
    output_format: str
    include_filters: list[dict[str, Any]] = []
    exclude_filters: list[dict[str, Any]] = []
    statistics_configurations: list[dict[str, Any]] = []
    include_linked_accounts_metrics: bool = False
    state: str = "running"
    created: float = 0.0
    updated: float = 0.0
    started: float = 0.0
    """When it last began to run: what is older is not sent."""
    tags: Tags = {}


class MetricStreamProgress(Resource, frozen=True, kw_only=True):
    """How far a stream has come; `id` is the stream's name. Minutes before `through` are delivered or given up."""

    KIND: ClassVar[str] = "cloudwatch.metric_stream_progress"

    through: float


class InsightRule(Resource, frozen=True, kw_only=True):
    """A Contributor Insights rule; `id` is its name. There are no logs here for it to count."""

    KIND: ClassVar[str] = "cloudwatch.insight_rule"

    arn: str
    definition: str
    enabled: bool = True
    apply_on_transformed_logs: bool = False
    template_name: str = ""
    """The template of a managed rule, "" for one of the user's own."""
    resource_arn: str = ""
    tags: Tags = {}


class AlarmMuteRule(Resource, frozen=True, kw_only=True):
    """When the actions of the named alarms are held back; `id` is its name."""

    KIND: ClassVar[str] = "cloudwatch.alarm_mute_rule"

    arn: str
    expression: str
    duration: str
    timezone: str | None = None
    description: str | None = None
    alarm_names: list[str] = []
    start_date: float | None = None
    expire_date: float | None = None
    updated: float = 0.0
    tags: Tags = {}


class MetricDataQueryDefinition(Resource, frozen=True, kw_only=True):
    """A saved query, which nobody runs."""

    KIND: ClassVar[str] = "cloudwatch.metric_data_query_definition"

    arn: str
    path: str
    expression: str
    type: str
    created: float = 0.0
    updated: float = 0.0
    tags: Tags = {}
