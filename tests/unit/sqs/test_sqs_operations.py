"""Queues through boto3: sending, receiving, visibility, dead letters, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.testing import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def sqs(world: World) -> Any:
    return world.boto3("sqs")


@pytest.fixture
def url(sqs: Any) -> str:
    return str(sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "10"})["QueueUrl"])


def bodies(sqs: Any, url: str, **more: Any) -> list[str]:
    return [m["Body"] for m in sqs.receive_message(QueueUrl=url, **more).get("Messages", [])]


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    assert 400 <= caught.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return str(caught.value.response["Error"]["Code"])


def test_a_queue_through_its_life(sqs: Any, url: str) -> None:
    assert url.endswith("/000000000000/q")
    assert sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "10"})["QueueUrl"] == url
    assert refused(sqs.create_queue, QueueName="q", Attributes={"VisibilityTimeout": "11"}) == "QueueAlreadyExists"
    assert sqs.get_queue_url(QueueName="q")["QueueUrl"] == url
    sqs.create_queue(QueueName="other")
    assert sqs.list_queues(QueueNamePrefix="q")["QueueUrls"] == [url]
    first = sqs.list_queues(MaxResults=1)
    assert len(sqs.list_queues(MaxResults=1, NextToken=first["NextToken"])["QueueUrls"]) == 1
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "5", "VisibilityTimeout": ""})
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["QueueArn"] == "arn:aws:sqs:us-east-1:000000000000:q"
    assert (attributes["DelaySeconds"], attributes["VisibilityTimeout"]) == ("5", "30")
    sqs.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as caught:
        sqs.get_queue_url(QueueName="q")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_a_message_is_hidden_while_it_is_in_flight_and_comes_back(world: World, sqs: Any, url: str) -> None:
    sent = sqs.send_message(
        QueueUrl=url, MessageBody="hi", MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}}
    )
    assert sent["MD5OfMessageBody"] == hashlib.md5(b"hi").hexdigest()
    first = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"])["Messages"][0]
    assert first["MessageId"] == sent["MessageId"]
    assert first["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert first["MessageAttributes"]["n"] == {"DataType": "Number", "StringValue": "1"}
    assert first["Attributes"]["ApproximateReceiveCount"] == "1"
    assert bodies(sqs, url) == []
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert counts["Attributes"] == {"ApproximateNumberOfMessagesNotVisible": "1"}
    world.advance(10)
    second = sqs.receive_message(QueueUrl=url)["Messages"][0]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(sqs, url) == ["hi"], "the older handle deleted nothing"


def test_a_deleted_message_is_gone(world: World, sqs: Any, url: str) -> None:
    sqs.send_message(QueueUrl=url, MessageBody="hi")
    handle = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    world.advance(60)
    assert bodies(sqs, url) == []
    code = refused(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=1)
    assert code == "AWS.SimpleQueueService.MessageNotInflight"


def test_a_long_poll_waits_for_a_delayed_message(world: World, sqs: Any, url: str) -> None:
    began = world.now
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=7)
    assert bodies(sqs, url) == []
    assert bodies(sqs, url, WaitTimeSeconds=20) == ["later"]
    assert 7 <= world.now - began < 8
    began = world.now
    assert bodies(sqs, url, WaitTimeSeconds=3) == []
    assert world.now - began == pytest.approx(3, abs=0.2)


def test_batches_tell_what_failed(sqs: Any, url: str) -> None:
    entries = [{"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "\x00"}, {"Id": "c", "MessageBody": "3"}]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [e["Id"] for e in answer["Successful"]] == ["a", "c"]
    assert [(e["Id"], e["Code"]) for e in answer["Failed"]] == [("b", "InvalidMessageContents")]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [m["Body"] for m in messages] == ["1", "3"]
    handles = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
    sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{**h, "VisibilityTimeout": 5} for h in handles])
    assert len(sqs.delete_message_batch(QueueUrl=url, Entries=handles)["Successful"]) == 2
    for entries, code in (
        ([], "EmptyBatchRequest"),  # its text names the entry: "… one SendMessageBatchRequestEntry in the request."
        ([{"Id": "a", "MessageBody": "1"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": str(i), "MessageBody": "1"} for i in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "a b", "MessageBody": "1"}], "InvalidBatchEntryId"),
    ):
        assert refused(sqs.send_message_batch, QueueUrl=url, Entries=entries) == f"AWS.SimpleQueueService.{code}"


def test_received_too_often_goes_to_the_dead_letter_queue(world: World, sqs: Any, url: str) -> None:
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    policy = '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":2}'
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sqs.send_message(QueueUrl=url, MessageBody="bad")
    for _ in range(2):
        assert bodies(sqs, url) == ["bad"]
        world.advance(10)
    assert bodies(sqs, url) == []
    assert bodies(sqs, dead) == ["bad"]


def test_messages_end_with_the_retention_period_and_by_purge(world: World, sqs: Any, url: str) -> None:
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})
    sqs.send_message(QueueUrl=url, MessageBody="old")
    world.advance(125)
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert counts == {"ApproximateNumberOfMessages": "0"}
    sqs.send_message(QueueUrl=url, MessageBody="new")
    sqs.purge_queue(QueueUrl=url)
    assert bodies(sqs, url) == []
    assert refused(sqs.purge_queue, QueueUrl=url) == "AWS.SimpleQueueService.PurgeQueueInProgress"


def test_messages_outlive_the_control_plane(world: World, sqs: Any, url: str) -> None:
    sqs.send_message(QueueUrl=url, MessageBody="kept")
    world.crash()
    world.restart()
    assert bodies(sqs, url) == ["kept"]


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("create_queue", {"QueueName": "a b"}, "InvalidParameterValue"),
        ("create_queue", {"QueueName": "a.fifo"}, "AWS.SimpleQueueService.UnsupportedOperation"),
        ("create_queue", {"QueueName": "n", "Attributes": {"DelaySeconds": "901"}}, "InvalidAttributeValue"),
        ("create_queue", {"QueueName": "n", "Attributes": {"RedrivePolicy": "{}"}}, "InvalidAttributeValue"),
        ("create_queue", {"QueueName": "n", "Attributes": {"Nope": "1"}}, "InvalidAttributeName"),
        ("get_queue_attributes", {"AttributeNames": ["Nope"]}, "InvalidAttributeName"),
        ("send_message", {"MessageBody": "\x01"}, "InvalidMessageContents"),
        ("send_message", {"MessageBody": "x" * 1_048_577}, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        ("receive_message", {"MaxNumberOfMessages": 11}, "InvalidParameterValue"),
        ("receive_message", {"WaitTimeSeconds": 21}, "InvalidParameterValue"),
        ("delete_message", {"ReceiptHandle": "x"}, "ReceiptHandleIsInvalid"),
    ],
)
def test_what_is_refused(sqs: Any, url: str, operation: str, parameters: dict[str, Any], code: str) -> None:
    if operation != "create_queue":
        parameters = {"QueueUrl": url, **parameters}
    assert refused(getattr(sqs, operation), **parameters) == code


@pytest.mark.parametrize("most", [-1, 0, 1001])
def test_pages_of_queues_have_bounds(sqs: Any, url: str, most: int) -> None:
    assert url
    assert refused(sqs.list_queues, MaxResults=most) == "InvalidParameterValue"


def test_a_policys_only_statement_comes_back_in_a_list(sqs: Any) -> None:
    policy = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    url = sqs.create_queue(QueueName="p", Attributes={"Policy": policy})["QueueUrl"]
    kept = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"])
    assert kept["Statement"] == [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
