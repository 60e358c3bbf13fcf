"""Parameter Store, and the public parameters that name machine images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.ec2.images import public_parameters

from ..server.world import ServerWorld


@pytest.fixture
def ssm() -> Iterator[Any]:
    world = ServerWorld()
    yield world.clients.client("ssm")
    world.close()


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize("made", ["/top", "top"])
@pytest.mark.parametrize("asked", ["/top", "top"])
def test_at_the_top_level_a_leading_slash_makes_no_difference(ssm: Any, made: str, asked: str) -> None:
    ssm.put_parameter(Name=made, Value="1", Type="String")
    assert code_of(ssm.put_parameter, Name=asked, Value="2", Type="String") == "ParameterAlreadyExists"
    assert ssm.get_parameter(Name=asked)["Parameter"]["Name"] == asked
    assert [each["Name"] for each in ssm.get_parameters(Names=[f"{asked}:1"])["Parameters"]] == [asked]
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=asked, Tags=[{"Key": "a", "Value": "b"}])
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=made)["TagList"]
    ssm.delete_parameter(Name=asked)
    assert ssm.get_parameters(Names=[made])["InvalidParameters"] == [made]


def test_a_parameter_through_its_life(ssm: Any) -> None:
    assert ssm.put_parameter(Name="/app/a", Value="1", Type="String")["Version"] == 1
    assert code_of(ssm.put_parameter, Name="/app/a", Value="2", Type="String") == "ParameterAlreadyExists"
    assert ssm.put_parameter(Name="/app/a", Value="2", Overwrite=True)["Version"] == 2
    parameter = ssm.get_parameter(Name="/app/a")["Parameter"]
    assert (parameter["Value"], parameter["Version"], parameter["Type"]) == ("2", 2, "String")
    assert parameter["ARN"] == "arn:aws:ssm:us-east-1:000000000000:parameter/app/a"
    assert ssm.get_parameter(Name="/app/a:1")["Parameter"]["Value"] == "1"
    assert ssm.get_parameter(Name=parameter["ARN"])["Parameter"]["Value"] == "2"
    assert code_of(ssm.get_parameter, Name="/app/a:9") == "ParameterVersionNotFound"
    assert code_of(ssm.get_parameter, Name="/app/b") == "ParameterNotFound"
    history = ssm.get_parameter_history(Name="/app/a")["Parameters"]
    assert [each["Value"] for each in history] == ["1", "2"]
    both = ssm.get_parameters(Names=["/app/a", "nope"])
    assert [p["Name"] for p in both["Parameters"]] == ["/app/a"] and both["InvalidParameters"] == ["nope"]
    ssm.delete_parameter(Name="/app/a")
    assert code_of(ssm.delete_parameter, Name="/app/a") == "ParameterNotFound"
    assert ssm.put_parameter(Name="/app/a", Value="3", Type="String")["Version"] == 1


def test_secure_strings_show_only_when_decrypted(ssm: Any) -> None:
    ssm.put_parameter(Name="s", Value="secret", Type="SecureString")
    assert "secret" not in ssm.get_parameter(Name="s")["Parameter"]["Value"]
    assert ssm.get_parameter(Name="s", WithDecryption=True)["Parameter"]["Value"] == "secret"


def test_paths_filters_and_pages(ssm: Any) -> None:
    for number in range(12):
        ssm.put_parameter(Name=f"/a/b/{number:02d}", Value="x", Type="String")
    ssm.put_parameter(Name="/a/top", Value="x,y", Type="StringList", Tags=[{"Key": "k", "Value": "v"}])
    assert [p["Name"] for p in ssm.get_parameters_by_path(Path="/a")["Parameters"]] == ["/a/top"]
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/a", Recursive=True)
    assert len([p for page in pages for p in page["Parameters"]]) == 13
    by_type = ssm.describe_parameters(ParameterFilters=[{"Key": "Type", "Values": ["StringList"]}])["Parameters"]
    assert [p["Name"] for p in by_type] == ["/a/top"]
    by_name = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Option": "BeginsWith", "Values": ["/a/b/1"]}])
    assert [p["Name"] for p in by_name["Parameters"]] == ["/a/b/10", "/a/b/11"]
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/a/top")["TagList"] == [
        {"Key": "k", "Value": "v"}
    ]
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId="/a/top", Tags=[{"Key": "l", "Value": "w"}])
    ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId="/a/top", TagKeys=["k"])
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/a/top")["TagList"] == [
        {"Key": "l", "Value": "w"}
    ]
    gone = ssm.delete_parameters(Names=["/a/top", "/a/none"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["/a/top"], ["/a/none"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Name": "/aws/x"}, "AccessDeniedException"),
        ({"Name": "ssm-x"}, "ValidationException"),
        ({"Name": "a b"}, "ValidationException"),
        ({"Name": "a/b"}, "ValidationException"),
        ({"Name": "/a" * 16}, "HierarchyLevelLimitExceededException"),
        ({"Value": "x" * 4097}, "ValidationException"),
        ({"AllowedPattern": "^[0-9]+$"}, "ParameterPatternMismatchException"),
        ({"Type": None}, "ValidationException"),
    ],
)
def test_what_is_refused(ssm: Any, change: dict[str, Any], code: str) -> None:
    parameters = {"Name": "n", "Value": "v", "Type": "String", **change}
    assert code_of(ssm.put_parameter, **{k: v for k, v in parameters.items() if v is not None}) == code


def test_public_parameters_name_images(ssm: Any) -> None:
    name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    parameter = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert parameter["Value"] == public_parameters("us-east-1")[name]
    assert parameter["ARN"] == f"arn:aws:ssm:us-east-1::parameter{name}"
    listed = ssm.get_parameters_by_path(Path="/aws/service/ami-amazon-linux-latest")["Parameters"]
    assert parameter["Name"] in [each["Name"] for each in listed]
    assert ssm.describe_parameters()["Parameters"] == []
