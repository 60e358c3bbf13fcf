"""Lambda functions whose code is an object."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from elba.testing.world import World
from tests.unit.lambda_.kit import role, zipped


def test_a_functions_code_comes_from_a_bucket() -> None:
    with World() as world:
        s3, functions = world.boto3("s3"), world.boto3("lambda")
        s3.create_bucket(Bucket="code")
        request = {
            "FunctionName": "f",
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "Role": role(world.boto3("iam")),
        }
        with pytest.raises(ClientError, match="S3 Error Code: NoSuchKey"):
            functions.create_function(**request, Code={"S3Bucket": "code", "S3Key": "app.zip"})
        with pytest.raises(ClientError, match="S3 Error Code: NoSuchBucket"):
            functions.create_function(**request, Code={"S3Bucket": "no-code", "S3Key": "app.zip"})
        body = zipped("def handler(event, context):\n    return 1\n")
        s3.put_object(Bucket="code", Key="app.zip", Body=body)
        made = functions.create_function(**request, Code={"S3Bucket": "code", "S3Key": "app.zip"})
        assert made["CodeSize"] == len(body)
        newer = zipped("def handler(event, context):\n    return 22222\n")
        s3.put_object(Bucket="code", Key="app.zip", Body=newer)
        changed = functions.update_function_code(FunctionName="f", S3Bucket="code", S3Key="app.zip")
        assert changed["CodeSha256"] != made["CodeSha256"]
