"""Flow logs: data; no record is written. Source: EC2 API reference, "CreateFlowLogs"."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.edge_resources import FlowLog
from elba.ec2.faults import invalid, missing, require
from elba.ec2.idempotency import once
from elba.ec2.resources import NetworkInterface, Subnet, Vpc
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.resource import Resource
from elba.store.interface import Transaction

DEFAULT_FORMAT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
    "${bytes} ${start} ${end} ${action} ${log-status}"
)
_TYPES: dict[str, type[Resource]] = {"VPC": Vpc, "Subnet": Subnet, "NetworkInterface": NetworkInterface}
_DESTINATIONS = ("cloud-watch-logs", "s3", "kinesis-data-firehose")


def create_flow_logs(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError MissingParameter, InvalidParameter…, FlowLogAlreadyExists, Invalid…NotFound of a resource."""
    tags = specified_tags(request, "vpc-flow-log")["vpc-flow-log"]
    type_ = _TYPES.get(request["resource_type"])
    if type_ is None:
        raise invalid(request["resource_type"], "resourceType")
    traffic = request.get("traffic_type") or ""
    if traffic not in ("ACCEPT", "REJECT", "ALL"):
        raise invalid(traffic, "trafficType") if traffic else missing("TrafficType")
    kind = request.get("log_destination_type") or "cloud-watch-logs"
    if kind not in _DESTINATIONS:
        raise invalid(kind, "logDestinationType")
    destination, group = request.get("log_destination") or "", request.get("log_group_name") or ""
    if kind == "cloud-watch-logs":
        if not request.get("deliver_logs_permission_arn"):
            raise ApiError(
                "InvalidParameter", "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs."
            )
        if destination and not group:
            group = destination.partition(":log-group:")[2].removesuffix(":*")
        if not group:
            raise missing("LogGroupName")
    elif not destination:
        raise missing("LogDestination")
    interval = request.get("max_aggregation_interval") or 600
    if interval not in (60, 600):
        raise invalid(str(interval), "maxAggregationInterval")

    def make() -> list[str]:
        made: list[str] = []
        for id_ in request["resource_ids"]:
            require(tx, call, type_, id_)
            log = FlowLog(
                account=call.account,
                region=call.region,
                id=call.ids.ec2("fl"),
                resource_id=id_,
                traffic_type=traffic,
                log_destination_type=kind,
                log_destination=destination,
                log_group_name=group,
                deliver_logs_permission_arn=request.get("deliver_logs_permission_arn") or "",
                log_format=request.get("log_format") or DEFAULT_FORMAT,
                max_aggregation_interval=interval,
                destination_options=dict(request.get("destination_options") or {}),
                creation_time=call.now,
                tags=tags,
            )
            same = replace(log, id="", creation_time=0.0, tags={})
            for known in tx.all(FlowLog, call.account, call.region):
                if replace(known, id="", creation_time=0.0, tags={}) == same:
                    raise ApiError(
                        "FlowLogAlreadyExists",
                        "There is an existing Flow Log with the same configuration and log destination.",
                    )
            tx.put(log)
            made.append(log.id)
        return made

    ids = once(tx, call, request, "CreateFlowLogs", make)
    return {"flow_log_ids": ids, "client_token": request.get("client_token"), "unsuccessful": []}


def delete_flow_logs(tx: Transaction, call: Call, request: Request) -> Answer:
    for id_ in request["flow_log_ids"]:
        found = tx.get(FlowLog, call.account, call.region, id_)
        if found is None:
            raise ApiError("InvalidFlowLogId.NotFound", f"The flow log ID '{id_}' does not exist")
        tx.delete(found)
    return {"unsuccessful": []}
