"""CloudWatch's API operations: one function for each, named as the operation.

Not built (they answer 400 as unknown operations): log alarms, datasets, OTel enrichment,
resource metrics configurations.
"""

from __future__ import annotations

from elba.call import Answer, Request
from elba.cloudwatch import commands
from elba.cloudwatch.anomaly import bands_of
from elba.cloudwatch.ingest import parse_metric_data
from elba.cloudwatch.queries import (
    alarms,
    contributors,
    dashboards,
    data,
    detectors,
    insight_rules,
    metrics,
    mute_rules,
    saved_queries,
    streams,
    widget_images,
)
from elba.cloudwatch.schedule import publication_lag
from elba.cloudwatch.series import SeriesEngine
from elba.context import Context


def _engine(ctx: Context) -> SeriesEngine:
    engine = ctx.ports.metrics
    assert isinstance(engine, SeriesEngine)
    return engine


async def put_metric_data(ctx: Context, request: Request) -> Answer:
    _engine(ctx).put(parse_metric_data(ctx.call, request))
    return {}


async def list_metrics(ctx: Context, request: Request) -> Answer:
    return metrics.list_metrics(_engine(ctx), ctx.call, request)


async def get_metric_statistics(ctx: Context, request: Request) -> Answer:
    return metrics.get_metric_statistics(_engine(ctx), ctx.call, request)


async def get_metric_data(ctx: Context, request: Request) -> Answer:
    return data.get_metric_data(_engine(ctx), ctx.view, ctx.call, request)


async def get_metric_widget_image(ctx: Context, request: Request) -> Answer:
    picture = widget_images.picture_of(_engine(ctx), ctx.view, ctx.call, request)
    # Late, for it loads Pillow.
    from elba.cloudwatch.widget_images.painting import paint

    return {"metric_widget_image": paint(picture.widget, picture.lines)}


async def put_metric_alarm(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_metric_alarm, request)


async def put_composite_alarm(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_composite_alarm, request)


async def describe_alarms(ctx: Context, request: Request) -> Answer:
    return alarms.describe_alarms(ctx.view, ctx.call, request)


async def describe_alarms_for_metric(ctx: Context, request: Request) -> Answer:
    return alarms.describe_alarms_for_metric(ctx.view, ctx.call, request)


async def describe_alarm_history(ctx: Context, request: Request) -> Answer:
    return alarms.describe_alarm_history(ctx.view, ctx.call, request)


async def describe_alarm_contributors(ctx: Context, request: Request) -> Answer:
    lag = publication_lag(ctx.ports.settings, ctx.clock)
    return contributors.describe_alarm_contributors(_engine(ctx), ctx.view, ctx.call, request, lag)


async def delete_alarms(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_alarms, request)


async def set_alarm_state(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_alarm_state, request)


async def enable_alarm_actions(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.enable_alarm_actions, request)


async def disable_alarm_actions(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.disable_alarm_actions, request)


async def tag_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_resource, request)


async def untag_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_resource, request)


async def list_tags_for_resource(ctx: Context, request: Request) -> Answer:
    return alarms.list_tags_for_resource(ctx.view, ctx.call, request)


async def put_dashboard(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_dashboard, request)


async def get_dashboard(ctx: Context, request: Request) -> Answer:
    return dashboards.get_dashboard(ctx.view, ctx.call, request)


async def list_dashboards(ctx: Context, request: Request) -> Answer:
    return dashboards.list_dashboards(ctx.view, ctx.call, request)


async def delete_dashboards(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_dashboards, request)


async def put_anomaly_detector(ctx: Context, request: Request) -> Answer:
    answer = await ctx.write(commands.put_anomaly_detector, request)
    bands_of(_engine(ctx), ctx.view).forget()
    return answer


async def describe_anomaly_detectors(ctx: Context, request: Request) -> Answer:
    return detectors.describe_anomaly_detectors(_engine(ctx), ctx.view, ctx.call, request)


async def delete_anomaly_detector(ctx: Context, request: Request) -> Answer:
    answer = await ctx.write(commands.delete_anomaly_detector, request)
    bands_of(_engine(ctx), ctx.view).forget()
    return answer


async def put_metric_stream(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_metric_stream, request)


async def get_metric_stream(ctx: Context, request: Request) -> Answer:
    return streams.get_metric_stream(ctx.view, ctx.call, request)


async def list_metric_streams(ctx: Context, request: Request) -> Answer:
    return streams.list_metric_streams(ctx.view, ctx.call, request)


async def start_metric_streams(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.start_metric_streams, request)


async def stop_metric_streams(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.stop_metric_streams, request)


async def delete_metric_stream(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_metric_stream, request)


async def put_insight_rule(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_insight_rule, request)


async def put_managed_insight_rules(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_managed_insight_rules, request)


async def enable_insight_rules(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.enable_insight_rules, request)


async def disable_insight_rules(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.disable_insight_rules, request)


async def delete_insight_rules(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_insight_rules, request)


async def describe_insight_rules(ctx: Context, request: Request) -> Answer:
    return insight_rules.describe_insight_rules(ctx.view, ctx.call, request)


async def list_managed_insight_rules(ctx: Context, request: Request) -> Answer:
    return insight_rules.list_managed_insight_rules(ctx.view, ctx.call, request)


async def get_insight_rule_report(ctx: Context, request: Request) -> Answer:
    return insight_rules.get_insight_rule_report(ctx.view, ctx.call, request)


async def put_alarm_mute_rule(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_alarm_mute_rule, request)


async def delete_alarm_mute_rule(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_alarm_mute_rule, request)


async def get_alarm_mute_rule(ctx: Context, request: Request) -> Answer:
    return mute_rules.get_alarm_mute_rule(ctx.view, ctx.call, request)


async def list_alarm_mute_rules(ctx: Context, request: Request) -> Answer:
    return mute_rules.list_alarm_mute_rules(ctx.view, ctx.call, request)


async def put_metric_data_query_definition(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_metric_data_query_definition, request)


async def delete_metric_data_query_definition(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_metric_data_query_definition, request)


async def get_metric_data_query_definition(ctx: Context, request: Request) -> Answer:
    return saved_queries.get_metric_data_query_definition(ctx.view, ctx.call, request)


async def list_metric_data_query_definitions(ctx: Context, request: Request) -> Answer:
    return saved_queries.list_metric_data_query_definitions(ctx.view, ctx.call, request)
