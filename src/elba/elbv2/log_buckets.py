"""The test object that enabling a log writes to its bucket, so that a bucket that refuses it is known at once.

Source: alb.md §19; user guide, "Enable access logs": `AWSLogs/<account>/ELBAccessLogTestFile`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import NamedTuple

from elba.buckets import BadObjectName
from elba.call import Call, Request
from elba.context import Context
from elba.elbv2.attributes import LOG_KINDS, attributes_of_load_balancer
from elba.elbv2.commands.lookup import invalid_configuration, require_load_balancer
from elba.object_endpoint import ObjectRefused
from elba.store.interface import View

_FILES = {
    "access_logs": ("ELBAccessLogTestFile", "AccessLog"),
    "connection_logs": ("ELBConnectionLogTestFile", "ConnectionLog"),
    "health_check_logs": ("ELBHealthCheckLogTestFile", "HealthCheckLog"),
}


class TestObject(NamedTuple):
    bucket: str
    key: str
    body: bytes


def test_objects(view: View, call: Call, request: Request) -> Iterator[TestObject]:
    """What has to be written before the request's attributes may take effect. Raises: LoadBalancerNotFound."""
    balancer = require_load_balancer(view, call, request["load_balancer_arn"])
    given = {entry.get("key", ""): entry.get("value", "") for entry in request["attributes"]}
    after = {**attributes_of_load_balancer(balancer), **given}
    time = datetime.datetime.fromtimestamp(call.now, datetime.UTC).isoformat(timespec="milliseconds")
    for kind in LOG_KINDS:
        bucket, prefix = after.get(f"{kind}.s3.bucket", ""), after.get(f"{kind}.s3.prefix", "").strip("/")
        touched = any(key.startswith(f"{kind}.s3.") for key in given)
        if touched and bucket and after.get(f"{kind}.s3.enabled") == "true":
            name, what = _FILES[kind]
            body = f"Enable {what} for ELB: {balancer.load_balancer_name} at {time.replace('+00:00', 'Z')}"
            folder = f"{prefix}/AWSLogs" if prefix else "AWSLogs"
            yield TestObject(bucket, f"{folder}/{call.account}/{name}", body.encode())


async def require_log_buckets(ctx: Context, request: Request) -> None:
    """Write the test objects: to the operator's S3 endpoint if there is one, and to the local buckets, which are made
    if they are not there. Raises: InvalidConfigurationRequest."""
    for bucket, key, body in test_objects(ctx.view, ctx.call, request):
        try:
            if ctx.ports.endpoint is not None:
                await ctx.ports.endpoint.put(bucket, key, body, ctx.call.region)
            await ctx.ports.buckets.make(bucket)
            await ctx.ports.buckets.write(bucket, key, body)
        except (BadObjectName, ObjectRefused, OSError) as error:
            raise invalid_configuration(
                f"Access Denied for bucket: {bucket}. Please check S3bucket permission"
            ) from error
