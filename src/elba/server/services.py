"""The services that Elba serves: their names on the wire, their manners, and where their operations live."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

from elba.call import Answer, Call, Request
from elba.context import Context
from elba.store.interface import Transaction
from elba.wire import Service, Style

OperationFunction = Callable[[Context, Request], Awaitable[Answer]]
FirstUseHook = Callable[[Transaction, Call], object]

GLOBAL_REGION = "aws-global"


@dataclass(frozen=True)
class Served:
    """One service.

    `signing_name`, `version` and `target_prefix` repeat the model's, so that finding the service does not load
    every model (a test compares them). `region`: "any" region of the credential scope is accepted and used,
    "global" resources belong to none, "configured" regions only.
    """

    wire: Service
    operations_module: str
    signing_name: str
    version: str
    target_prefix: str = ""
    region: str = "configured"
    title: str = ""
    body_most_bytes: Mapping[str, int] = field(default_factory=dict)
    """By operation, how large its body can be once it is decompressed; others take what the server does."""

    @property
    def name(self) -> str:
        return self.wire.name

    @cached_property
    def operations(self) -> ModuleType | None:
        """The module of the service's operations, or None while nobody has written it."""
        package = self.operations_module.rpartition(".")[0]
        if importlib.util.find_spec(package) is None or importlib.util.find_spec(self.operations_module) is None:
            return None
        return importlib.import_module(self.operations_module)

    def function(self, python_name: str) -> OperationFunction | None:
        """The operation's function, or None if it is not built. Given names of the model only, it remembers them."""
        functions = self._functions
        if python_name not in functions:
            found: Any = getattr(self.operations, python_name, None)
            functions[python_name] = found if inspect.iscoroutinefunction(found) else None
        return functions[python_name]

    @cached_property
    def _functions(self) -> dict[str, OperationFunction | None]:
        return {}

    def built(self) -> list[str]:
        """Wire names of the operations that are built, in the model's order."""
        operations = (self.wire.operation(name) for name in self.wire.operation_names)
        return [o.name for o in operations if o is not None and self.function(o.python_name) is not None]


_EC2 = Style(
    empty_is_absent=True,
    # An empty tag or filter value is a value.
    keep_empty=frozenset({"Value"}),
    # Names of instance types and images change faster than models: EC2's own commands judge them.
    unchecked_enums=frozenset({"InstanceType"}),
)
_AUTO_SCALING = Style(
    empty_is_absent=True,
    # Documented to be cleared by an empty string; and a tag's value may be empty.
    keep_empty=frozenset({"SpotMaxPrice", "Context", "NotificationTargetARN", "PlacementGroup", "Value"}),
    whole_seconds=frozenset({"ScheduledUpdateGroupAction"}),
)
_JSON = Style(validation_code="ValidationException")
_SQS = Style(
    validation_code="InvalidParameterValue",
    missing_code="MissingParameter",
    unchecked_enums=frozenset({"QueueAttributeName"}),  # its own commands refuse them as InvalidAttributeName
    # What query clients were told before SQS spoke JSON. Source: SQS API reference, "Errors" of each operation.
    query_codes={
        "QueueNameExists": "QueueAlreadyExists",
        **{
            name: f"AWS.SimpleQueueService.{code}"
            for name, code in (
                ("QueueDoesNotExist", "NonExistentQueue"),
                ("QueueDeletedRecently", "QueueDeletedRecently"),
                ("PurgeQueueInProgress", "PurgeQueueInProgress"),
                ("MessageNotInflight", "MessageNotInflight"),
                ("UnsupportedOperation", "UnsupportedOperation"),
                ("EmptyBatchRequest", "EmptyBatchRequest"),
                ("TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest"),
                ("BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct"),
                ("BatchRequestTooLong", "BatchRequestTooLong"),
                ("InvalidBatchEntryId", "InvalidBatchEntryId"),
            )
        },
    },
)
_CLOUDWATCH = Style(
    missing_code="MissingParameter",
    # The oldest operations word their refusals themselves (InvalidParameterValue, "must be a value in the set […]").
    unchecked_operations=frozenset({"PutMetricData", "GetMetricStatistics"}),
    unchecked_enums=frozenset({"StateValue"}),  # whose values it lists in an order of its own
)
_SECONDS = Style(milliseconds=False)
_S3 = Style(
    validation_code="InvalidArgument",
    root_names={
        "ListBuckets": "ListAllMyBucketsResult",
        "ListObjects": "ListBucketResult",
        "ListObjectsV2": "ListBucketResult",
        "ListObjectVersions": "ListVersionsResult",
        "ListMultipartUploads": "ListMultipartUploadsResult",
        "ListParts": "ListPartsResult",
        "CreateMultipartUpload": "InitiateMultipartUploadResult",
        "CompleteMultipartUpload": "CompleteMultipartUploadResult",
        "DeleteObjects": "DeleteResult",
        "GetBucketAcl": "AccessControlPolicy",
        "GetObjectAcl": "AccessControlPolicy",
        "GetBucketTagging": "Tagging",
        "GetObjectTagging": "Tagging",
        "GetObjectAttributes": "GetObjectAttributesResponse",
        "GetBucketVersioning": "VersioningConfiguration",
        "GetBucketCors": "CORSConfiguration",
        "GetBucketWebsite": "WebsiteConfiguration",
        "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
        "GetBucketLogging": "BucketLoggingStatus",
        "GetBucketNotificationConfiguration": "NotificationConfiguration",
        "GetBucketRequestPayment": "RequestPaymentConfiguration",
        "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
        "GetBucketLocation": "LocationConstraint",
    },
    # The model lacks log-delivery-write; regions are more than it knows.
    unchecked_enums=frozenset({"BucketLocationConstraint", "BucketCannedACL"}),
)

SERVED: tuple[Served, ...] = (
    Served(Service("ec2", _EC2), "elba.ec2.operations", "ec2", "2016-11-15", title="EC2"),
    Served(
        Service("elbv2"),
        "elba.elbv2.operations",
        "elasticloadbalancing",
        "2015-12-01",
        title="Elastic Load Balancing v2",
    ),
    Served(
        Service("elb"),
        "elba.elb.operations",
        "elasticloadbalancing",
        "2012-06-01",
        title="Elastic Load Balancing (classic)",
    ),
    Served(
        Service("autoscaling", _AUTO_SCALING),
        "elba.autoscaling.operations",
        "autoscaling",
        "2011-01-01",
        title="EC2 Auto Scaling",
    ),
    Served(
        Service("cloudwatch", _CLOUDWATCH),
        "elba.cloudwatch.operations",
        "monitoring",
        "2010-08-01",
        "GraniteServiceVersion20100801",
        title="CloudWatch",
        body_most_bytes={"PutMetricData": 1024 * 1024, "GetMetricData": 600 * 1024},
    ),
    Served(Service("sts", _SECONDS), "elba.sts.operations", "sts", "2011-06-15", region="any", title="STS"),
    Served(Service("iam", _SECONDS), "elba.iam.operations", "iam", "2010-05-08", region="global", title="IAM"),
    Served(Service("ssm", _JSON), "elba.ssm.operations", "ssm", "2014-11-06", "AmazonSSM", title="Systems Manager"),
    Served(
        Service("acm", _JSON),
        "elba.acm.operations",
        "acm",
        "2015-12-08",
        "CertificateManager",
        title="Certificate Manager",
    ),
    Served(Service("sns"), "elba.sns.operations", "sns", "2010-03-31", title="SNS"),
    Served(Service("sqs", _SQS), "elba.sqs.operations", "sqs", "2012-11-05", "AmazonSQS", title="SQS"),
    Served(Service("lambda", _JSON), "elba.lambda_.operations", "lambda", "2015-03-31", title="Lambda"),
    Served(
        Service("arc-zonal-shift", _JSON),
        "elba.arc_zonal_shift.operations",
        "arc-zonal-shift",
        "2022-10-30",
        title="ARC zonal shift",
    ),
    Served(Service("s3", _S3), "elba.s3.operations", "s3", "2006-03-01", region="any", title="S3"),
)

FIRST_USE_HOOKS = ("elba.ec2.defaults:ensure_defaults",)
"""`module:function` of what to do in a transaction when an account first uses a region: `function(tx, call)`."""


def first_use_hooks() -> list[FirstUseHook]:
    """The functions of FIRST_USE_HOOKS that are there."""
    hooks: list[FirstUseHook] = []
    for name in FIRST_USE_HOOKS:
        module_name, _, function = name.partition(":")
        if importlib.util.find_spec(module_name.rpartition(".")[0]) and importlib.util.find_spec(module_name):
            found = getattr(importlib.import_module(module_name), function, None)
            if found is not None:
                hooks.append(found)
    return hooks
