"""What Lambda's tests share: zip files, a role, functions made of source text."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def zipped(source: str, name: str = "app.py") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, source)
    return buffer.getvalue()


def role(iam: Any) -> str:
    """The ARN of a role that Lambda may assume."""
    try:
        return str(iam.create_role(RoleName="runner", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"])
    except iam.exceptions.EntityAlreadyExistsException:
        return str(iam.get_role(RoleName="runner")["Role"]["Arn"])


def create(
    world: Any, name: str = "fn", source: str = "def handler(event, context):\n    return event\n", **more: Any
) -> Any:
    parameters = {
        "FunctionName": name,
        "Runtime": "python3.12",
        "Role": role(world.boto3("iam")),
        "Handler": "app.handler",
        "Code": {"ZipFile": zipped(source)},
        **more,
    }
    return world.boto3("lambda").create_function(**parameters)
