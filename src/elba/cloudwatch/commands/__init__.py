"""What CloudWatch writes to the store: pure functions of a transaction, the call and the request.

Auto Scaling uses `put_metric_alarm` and `remove_alarms` for the alarms of its target-tracking policies, and
`record_action` when it has carried out an `AlarmAction`.
"""

from elba.cloudwatch.commands.alarms import (
    delete_alarms,
    disable_alarm_actions,
    enable_alarm_actions,
    prune_history,
    put_metric_alarm,
    remove_alarms,
    set_alarm_state,
)
from elba.cloudwatch.commands.composites import evaluate_composite, put_composite_alarm
from elba.cloudwatch.commands.dashboards import delete_dashboards, put_dashboard
from elba.cloudwatch.commands.detectors import delete_anomaly_detector, put_anomaly_detector
from elba.cloudwatch.commands.insight_rules import (
    delete_insight_rules,
    disable_insight_rules,
    enable_insight_rules,
    put_insight_rule,
    put_managed_insight_rules,
)
from elba.cloudwatch.commands.mute_rules import delete_alarm_mute_rule, put_alarm_mute_rule, unmute
from elba.cloudwatch.commands.saved_queries import (
    delete_metric_data_query_definition,
    put_metric_data_query_definition,
)
from elba.cloudwatch.commands.streams import (
    delete_metric_stream,
    put_metric_stream,
    start_metric_streams,
    stop_metric_streams,
)
from elba.cloudwatch.commands.tags import tag_resource, untag_resource
from elba.cloudwatch.commands.transitions import change_state, emit_action, emit_actions, record_action

__all__ = [
    "change_state",
    "delete_alarm_mute_rule",
    "delete_alarms",
    "delete_anomaly_detector",
    "delete_dashboards",
    "delete_insight_rules",
    "delete_metric_data_query_definition",
    "delete_metric_stream",
    "disable_alarm_actions",
    "disable_insight_rules",
    "emit_action",
    "emit_actions",
    "enable_alarm_actions",
    "enable_insight_rules",
    "evaluate_composite",
    "prune_history",
    "put_alarm_mute_rule",
    "put_anomaly_detector",
    "put_composite_alarm",
    "put_dashboard",
    "put_insight_rule",
    "put_managed_insight_rules",
    "put_metric_alarm",
    "put_metric_data_query_definition",
    "put_metric_stream",
    "record_action",
    "remove_alarms",
    "set_alarm_state",
    "start_metric_streams",
    "stop_metric_streams",
    "tag_resource",
    "unmute",
    "untag_resource",
]
