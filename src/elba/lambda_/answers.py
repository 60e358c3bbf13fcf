"""Functions and aliases as the API shows them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from elba.call import Answer
from elba.lambda_.resources import Alias, Function


def configuration(function: Function, qualifier: str = "") -> Answer:
    """FunctionConfiguration. Asked for with a qualifier, the ARN shows it."""
    modified = datetime.fromtimestamp(function.last_modified, UTC)
    arn = f"{function.unqualified_arn}:{qualifier}" if qualifier else function.arn
    settings = dict(function.settings)
    vpc = settings.pop("vpc_config", None) or {}
    logging = settings.pop("logging_config", None) or {}
    snap = settings.pop("snap_start", None) or {}
    return {
        "function_name": function.name,
        "function_arn": arn,
        "runtime": function.runtime,
        "role": function.role,
        "handler": function.handler,
        "code_size": function.code_size,
        "description": function.description,
        "timeout": function.timeout,
        "memory_size": function.memory_size,
        "last_modified": modified.strftime("%Y-%m-%dT%H:%M:%S.") + f"{modified.microsecond // 1000:03d}+0000",
        "code_sha256": function.code_sha256,
        "version": function.version,
        "environment": None if function.environment is None else {"variables": function.environment},
        "tracing_config": settings.pop("tracing_config", None) or {"mode": "PassThrough"},
        "revision_id": function.revision_id,
        "state": "Active",
        "last_update_status": "Successful",
        "package_type": "Zip",
        "architectures": list(function.architectures),
        "ephemeral_storage": settings.pop("ephemeral_storage", None) or {"size": 512},
        "snap_start": {"apply_on": snap.get("apply_on", "None"), "optimization_status": "Off"},
        "logging_config": {
            "log_format": logging.get("log_format", "Text"),
            "application_log_level": logging.get("application_log_level"),
            "system_log_level": logging.get("system_log_level"),
            "log_group": logging.get("log_group", f"/aws/lambda/{function.name}"),
        },
        "vpc_config": {
            "subnet_ids": vpc.get("subnet_ids", []),
            "security_group_ids": vpc.get("security_group_ids", []),
            "vpc_id": "",
        }
        if vpc
        else None,
        **settings,
    }


def alias_answer(alias: Alias) -> Answer:
    return {
        "alias_arn": alias.arn,
        "name": alias.name,
        "function_version": alias.function_version,
        "description": alias.description,
        "routing_config": {"additional_version_weights": alias.weights} if alias.weights else None,
        "revision_id": alias.revision_id,
    }
