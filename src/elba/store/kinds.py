"""Which type belongs to which kind, so that an engine can read back what it wrote."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from elba.resource import Resource

RESOURCE_MODULES = (
    "elba.acm.resources",
    "elba.autoscaling.resources",
    "elba.cloudwatch.resources",
    "elba.ec2.edge_resources",
    "elba.ec2.resources",
    "elba.elbv2.resources",
    "elba.iam.resources",
    "elba.lambda_.resources",
    "elba.s3.resources",
    "elba.sns.resources",
    "elba.sqs.resources",
    "elba.arc_zonal_shift.resources",
    "elba.ssm.resources",
)
"""Every module that defines stored resources; named, not imported, for the store knows no service."""


def _subclasses(base: type[Resource]) -> Iterator[type[Resource]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def kinds() -> Mapping[str, type[Resource]]:
    """Kind to type, of all modules that define resources."""
    for module in RESOURCE_MODULES:
        importlib.import_module(module)
    return {cls.KIND: cls for cls in _subclasses(Resource) if cls.KIND}
