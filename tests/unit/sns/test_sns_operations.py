"""Topics and subscriptions through boto3, fan-out to queues, filters, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.sns import policies
from elba.sns.filters import wanted
from elba.sns.resources import Delivery
from elba.testing import World

QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def sns(world: World) -> Any:
    return world.boto3("sns")


@pytest.fixture
def topic(sns: Any) -> str:
    return str(sns.create_topic(Name="t", Attributes={"DisplayName": "T"})["TopicArn"])


def messages(world: World, name: str = "q") -> list[dict[str, Any]]:
    """All that is in the queue, taken out."""
    world.settle()
    sqs = world.boto3("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return list(found)


def subscribe_queue(world: World, topic: str, name: str = "q", **attributes: str) -> str:
    world.boto3("sqs").create_queue(QueueName=name)
    endpoint = f"arn:aws:sqs:us-east-1:000000000000:{name}"
    return str(
        world.boto3("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint, Attributes=attributes)[
            "SubscriptionArn"
        ]
    )


def refused(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_topic_through_its_life(sns: Any, topic: str) -> None:
    assert topic == "arn:aws:sns:us-east-1:000000000000:t"
    assert sns.create_topic(Name="t")["TopicArn"] == topic
    assert refused(sns.create_topic, Name="t", Attributes={"DisplayName": "U"}) == ("InvalidParameter", 400)
    attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert attributes["TopicArn"] == topic and attributes["Owner"] == "000000000000"
    assert attributes["DisplayName"] == "T" and attributes["SubscriptionsConfirmed"] == "0"
    assert json.loads(attributes["Policy"])["Statement"]
    assert json.loads(attributes["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["DisplayName"] == ""
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sns.untag_resource(ResourceArn=topic, TagKeys=["a"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert sns.list_topics()["Topics"] == [{"TopicArn": topic}]
    sns.delete_topic(TopicArn=topic)
    sns.delete_topic(TopicArn=topic)
    assert refused(sns.get_topic_attributes, TopicArn=topic) == ("NotFound", 404)


def test_fan_out_to_queues(world: World, sns: Any, topic: str) -> None:
    plain = subscribe_queue(world, topic)
    subscribe_queue(world, topic, "raw", RawMessageDelivery="true")
    attribute = {"kind": {"DataType": "String", "StringValue": "x"}}
    sent = sns.publish(TopicArn=topic, Message="hello", Subject="S", MessageAttributes=attribute)
    (message,) = messages(world)
    body = json.loads(message["Body"])
    assert body["Type"] == "Notification" and body["MessageId"] == sent["MessageId"]
    assert (body["TopicArn"], body["Subject"], body["Message"]) == (topic, "S", "hello")
    assert body["MessageAttributes"] == {"kind": {"Type": "String", "Value": "x"}}
    assert {"Timestamp", "SignatureVersion", "Signature", "SigningCertURL"} <= set(body)
    assert plain.replace(":", "%3A") in body["UnsubscribeURL"]
    (raw,) = messages(world, "raw")
    assert raw["Body"] == "hello" and raw["MessageAttributes"]["kind"]["StringValue"] == "x"
    assert world.store.view.all(Delivery) == []


def test_subscriptions(world: World, sns: Any, topic: str) -> None:
    arn = subscribe_queue(world, topic)
    assert subscribe_queue(world, topic) == arn
    mail = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    assert mail["SubscriptionArn"] == "pending confirmation"
    shown = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com", ReturnSubscriptionArn=True)
    pending = sns.get_subscription_attributes(SubscriptionArn=shown["SubscriptionArn"])["Attributes"]
    assert pending["PendingConfirmation"] == "true"
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [s["SubscriptionArn"] for s in listed] == [arn, "PendingConfirmation"]
    assert sns.list_subscriptions()["Subscriptions"] == listed
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue='{"kind":["x"]}')
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert attributes["FilterPolicyScope"] == "MessageAttributes" and attributes["Protocol"] == "sqs"
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] == "1"
    sns.unsubscribe(SubscriptionArn=arn)
    assert refused(sns.get_subscription_attributes, SubscriptionArn=arn) == ("NotFound", 404)


def test_a_web_endpoint_elsewhere_must_confirm(world: World, sns: Any, topic: str) -> None:
    arn = sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://example.com/x", ReturnSubscriptionArn=True)[
        "SubscriptionArn"
    ]
    (subscription,) = [s for s in world.store.view.all(_subscription()) if s.id == arn]
    assert refused(sns.confirm_subscription, TopicArn=topic, Token="nope") == ("InvalidParameter", 400)
    assert sns.confirm_subscription(TopicArn=topic, Token=subscription.token)["SubscriptionArn"] == arn
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert attributes["PendingConfirmation"] == "false"
    world.settle()
    assert world.store.view.all(Delivery) == [], "nobody on another machine is contacted"


def _subscription() -> Any:
    from elba.sns.resources import Subscription

    return Subscription


def test_filters_structures_and_batches(world: World, sns: Any, topic: str) -> None:
    subscribe_queue(world, topic, FilterPolicy='{"n":[{"numeric":[">",5]}]}', RawMessageDelivery="true")
    for number in ("3", "7"):
        sns.publish(
            TopicArn=topic, Message=number, MessageAttributes={"n": {"DataType": "Number", "StringValue": number}}
        )
    assert [m["Body"] for m in messages(world)] == ["7"]
    subscribe_queue(world, topic, "s", RawMessageDelivery="true")
    sns.publish(TopicArn=topic, Message='{"default":"d","sqs":"for queues"}', MessageStructure="json")
    assert [m["Body"] for m in messages(world, "s")][-1:] == ["for queues"]
    answer = sns.publish_batch(
        TopicArn=topic,
        PublishBatchRequestEntries=[{"Id": "a", "Message": "1"}, {"Id": "b", "Message": "2", "Subject": "ü"}],
    )
    assert [e["Id"] for e in answer["Successful"]] == ["a"]
    assert [(e["Id"], e["Code"]) for e in answer["Failed"]] == [("b", "InvalidParameter")]
    assert [m["Body"] for m in messages(world, "s")] == ["1"]


@pytest.mark.parametrize(
    ("rules", "value", "passes"),
    [
        (["a"], "a", True),
        (["a"], "b", False),
        ([{"prefix": "a"}], "ab", True),
        ([{"suffix": "b"}], "ab", True),
        ([{"anything-but": ["a"]}], "b", True),
        ([{"anything-but": ["a"]}], "a", False),
        ([{"equals-ignore-case": "A"}], "a", True),
        ([{"exists": True}], "a", True),
        ([{"exists": False}], "a", False),
    ],
)
def test_filter_rules(rules: list[Any], value: str, passes: bool) -> None:
    attributes = {"k": {"data_type": "String", "string_value": value}}
    assert wanted({"k": rules}, "MessageAttributes", "", attributes) is passes
    assert wanted({"o": {"k": rules}}, "MessageBody", json.dumps({"o": {"k": value}}), {}) is passes


def test_delays_of_retries() -> None:
    assert policies.delays(policies.DEFAULT_RETRY) == [20.0, 20.0, 20.0]
    policy = {
        **policies.DEFAULT_RETRY,
        "minDelayTarget": 1,
        "maxDelayTarget": 9,
        "numRetries": 6,
        "numNoDelayRetries": 1,
        "numMinDelayRetries": 1,
        "numMaxDelayRetries": 1,
    }
    assert policies.delays(policy) == [0.0, 1.0, 1.0, 5.0, 9.0, 9.0]
    assert policies.delays({**policy, "backoffFunction": "exponential"})[2:5] == pytest.approx([1.0, 3.0, 9.0])


@pytest.mark.parametrize(
    ("operation", "parameters", "answer"),
    [
        ("create_topic", {"Name": "a b"}, ("InvalidParameter", 400)),
        ("create_topic", {"Name": "t.fifo", "Attributes": {"FifoTopic": "true"}}, ("InvalidParameter", 400)),
        ("create_topic", {"Name": "n", "Attributes": {"Nope": "1"}}, ("InvalidParameter", 400)),
        ("publish", {"TopicArn": "T", "Message": ""}, ("InvalidParameter", 400)),
        ("publish", {"TopicArn": "T", "Message": "x" * 262_145}, ("InvalidParameter", 400)),
        ("publish", {"TopicArn": "T", "Message": "x", "Subject": "a\nb"}, ("InvalidParameter", 400)),
        ("publish", {"TopicArn": "T", "Message": "x", "MessageStructure": "json"}, ("InvalidParameter", 400)),
        ("publish", {"TopicArn": "Tx", "Message": "x"}, ("NotFound", 404)),
        ("publish", {"TopicArn": "nonsense", "Message": "x"}, ("InvalidParameter", 400)),
        ("publish", {"PhoneNumber": "+15555550100", "Message": "x"}, ("InvalidParameter", 400)),
        ("subscribe", {"TopicArn": "T", "Protocol": "smoke", "Endpoint": "x"}, ("InvalidParameter", 400)),
        ("subscribe", {"TopicArn": "T", "Protocol": "http", "Endpoint": "ftp://x"}, ("InvalidParameter", 400)),
        ("subscribe", {"TopicArn": "Tx", "Protocol": "sqs", "Endpoint": QUEUE}, ("NotFound", 404)),
        ("subscribe", {"TopicArn": "T", "Protocol": "sqs", "Endpoint": "q"}, ("InvalidParameter", 400)),
        ("set_topic_attributes", {"TopicArn": "T", "AttributeName": "Nope"}, ("InvalidParameter", 400)),
        ("get_subscription_attributes", {"SubscriptionArn": "T:x"}, ("NotFound", 404)),
        ("list_tags_for_resource", {"ResourceArn": "Tx"}, ("ResourceNotFound", 404)),
    ],
)
def test_what_is_refused(
    sns: Any, topic: str, operation: str, parameters: dict[str, Any], answer: tuple[str, int]
) -> None:
    given = {
        name: topic + value[1:] if name.endswith("Arn") and value.startswith("T") else value
        for name, value in parameters.items()
    }
    assert refused(getattr(sns, operation), **given) == answer


def message_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Message"])


def test_refusals_in_the_words_recorded_from_the_service(sns: Any, topic: str) -> None:
    few = "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 2"
    assert message_of(sns.publish, TopicArn="a:b", Message="m") == few
    elsewhere = topic.replace("us-east-1", "eu-west-1")
    assert message_of(sns.publish, TopicArn=elsewhere, Message="m") == "Invalid parameter: TopicArn"
    assert message_of(sns.unsubscribe, SubscriptionArn="a:b:c:d:e") == (
        "Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements, not 5"
    )
    assert message_of(sns.unsubscribe, SubscriptionArn=topic) == "Invalid parameter: SubscriptionId"
    assert message_of(sns.subscribe, TopicArn=topic, Protocol="pigeon", Endpoint="x") == (
        "Invalid parameter: Amazon SNS does not support this protocol string: pigeon"
    )
    for id_, text in (("a.b", "contains an impermissible character: a.b"), ("a" * 81, f"is too long: {'a' * 81}")):
        entries = [{"Id": id_, "Message": "m"}]
        assert message_of(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries) == (
            f"The Id of a batch entry in the batch request {text}"
        )


def test_attributes_and_the_other_messages_of_a_batch_count_against_the_size(sns: Any, topic: str) -> None:
    attributes = {"attr1": {"DataType": "Number", "StringValue": "1"}}
    fits = "a" * (262_144 - len("attr1Number1"))
    assert sns.publish(TopicArn=topic, Message=fits, MessageAttributes=attributes)["MessageId"]
    assert message_of(sns.publish, TopicArn=topic, Message=fits + "a", MessageAttributes=attributes) == (
        "Invalid parameter: Message too long"
    )
    half = "a" * 131_072
    entries = [{"Id": id_, "Message": half} for id_ in "ab"]
    assert len(sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)["Successful"]) == 2
    entries[0]["Message"] += "a"
    assert message_of(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries) == (
        "The length of all the messages put together is more than the limit."
    )
