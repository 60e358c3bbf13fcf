"""Start, stop, reboot, terminate and attributes: what each state allows."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from elba.ec2 import commands
from elba.ec2.commands import attributes, lifecycle
from elba.ec2.queries import describe_instances as describe
from elba.ec2.resources import Instance, NetworkInterface, PrivateAddress, Volume

from .kit import ACCOUNT, REGION, Account, launch

STATES = ("pending", "running", "stopping", "stopped", "shutting-down", "terminated")
ABSENT = "i-0123456789abcdef0"


@pytest.fixture
def account() -> Account:
    return Account()


def an_instance(account: Account, state: str = "running", **request: Any) -> str:
    id_: str = launch(account, **request)["instance_id"]
    put(account, id_, state=state)
    return id_


def put(account: Account, id_: str, **changes: Any) -> None:
    account.tx.put(msgspec.structs.replace(get(account, id_), **changes))


def get(account: Account, id_: str) -> Instance:
    found = account.tx.get(Instance, ACCOUNT, REGION, id_)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("function", "state", "outcome"),
    [
        *[(lifecycle.terminate_instances, s, "shutting-down") for s in STATES[:5]],
        (lifecycle.terminate_instances, "terminated", "terminated"),
        (lifecycle.stop_instances, "running", "stopping"),
        (lifecycle.stop_instances, "stopping", "stopping"),
        (lifecycle.stop_instances, "stopped", "stopped"),
        (lifecycle.stop_instances, "pending", "IncorrectInstanceState"),
        (lifecycle.stop_instances, "shutting-down", "IncorrectInstanceState"),
        (lifecycle.stop_instances, "terminated", "IncorrectInstanceState"),
        (lifecycle.start_instances, "stopped", "pending"),
        (lifecycle.start_instances, "pending", "pending"),
        (lifecycle.start_instances, "running", "running"),
        (lifecycle.start_instances, "stopping", "IncorrectInstanceState"),
        (lifecycle.start_instances, "shutting-down", "IncorrectInstanceState"),
        (lifecycle.start_instances, "terminated", "IncorrectInstanceState"),
    ],
)
def test_transitions(account: Account, function: Any, state: str, outcome: str) -> None:
    id_ = an_instance(account, state)
    if outcome == "IncorrectInstanceState":
        assert account.error(function, instance_ids=[id_]).code == outcome
        return
    answer = account.do(function, instance_ids=[id_])
    (change,) = next(iter(answer.values()))
    assert change["previous_state"]["name"] == state
    assert change["current_state"]["name"] == outcome == get(account, id_).state


@pytest.mark.parametrize("state", STATES)
def test_only_a_running_instance_reboots(account: Account, state: str) -> None:
    id_ = an_instance(account, state)
    if state in ("running", "pending"):
        account.do(lifecycle.reboot_instances, instance_ids=[id_])
        assert get(account, id_).boots == (1 if state == "running" else 0)
        assert get(account, id_).state == state
    else:
        assert account.error(lifecycle.reboot_instances, instance_ids=[id_]).code == "IncorrectInstanceState"


@pytest.mark.parametrize(
    "function",
    [
        lifecycle.terminate_instances,
        lifecycle.stop_instances,
        lifecycle.start_instances,
        lifecycle.reboot_instances,
        attributes.monitor_instances,
        describe.describe_instances,
    ],
)
def test_absent_instances_are_named(account: Account, function: Any) -> None:
    def call(*ids: str) -> Any:
        request = {"instance_ids": list(ids)}
        return account.error(function, **request)

    error = call(ABSENT)
    assert (error.code, error.message) == (
        "InvalidInstanceID.NotFound",
        f"The instance ID '{ABSENT}' does not exist",
    )
    assert call(ABSENT, "i-0123456789abcdef1").message == (
        f"The instance IDs '{ABSENT}, i-0123456789abcdef1' do not exist"
    )
    assert call("web").code == "InvalidInstanceID.Malformed"
    assert call("web").message == 'Invalid id: "web"'


def test_protection_is_honoured_for_clients_and_not_for_services(account: Account) -> None:
    id_ = an_instance(account, disable_api_termination=True, disable_api_stop=True)
    error = account.error(lifecycle.terminate_instances, instance_ids=[id_])
    assert error.code == "OperationNotPermitted"
    assert error.message == (
        f"The instance '{id_}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try "
        "again."
    )
    assert account.error(lifecycle.stop_instances, instance_ids=[id_]).code == "OperationNotPermitted"
    commands.stop(account.tx, account.call, [id_], honour_protection=False)
    assert get(account, id_).state == "stopping"
    commands.terminate(account.tx, account.call, [id_], honour_protection=False)
    assert get(account, id_).state == "shutting-down"


def test_a_terminated_instance_gives_back_what_it_had_and_is_forgotten_after_an_hour(account: Account) -> None:
    id_ = an_instance(account)
    account.do(lifecycle.terminate_instances, instance_ids=[id_])
    commands.record_terminated(account.tx, account.call, id_)
    assert not account.tx.all(NetworkInterface)
    assert not account.tx.all(PrivateAddress)
    assert not account.tx.all(Volume)
    (shown,) = account.do(describe.describe_instances)["reservations"][0]["instances"]
    assert shown["state"] == {"code": 48, "name": "terminated"}
    assert shown["state_reason"]["code"] == "Client.UserInitiatedShutdown"
    assert shown["subnet_id"] is None and shown["network_interfaces"] == []
    account.now += 3599
    assert commands.forget_terminated(account.tx, account.call) == []
    account.now += 1
    assert commands.forget_terminated(account.tx, account.call) == [id_]
    assert account.do(describe.describe_instances)["reservations"] == []


def test_the_type_changes_only_while_stopped(account: Account) -> None:
    id_ = an_instance(account)
    error = account.error(attributes.modify_instance_attribute, instance_id=id_, instance_type={"value": "t3.small"})
    assert (error.code, error.message) == (
        "IncorrectInstanceState",
        f"The instance '{id_}' is not in the 'stopped' state.",
    )
    put(account, id_, state="stopped")
    account.do(attributes.modify_instance_attribute, instance_id=id_, instance_type={"value": "m5.large"})
    assert get(account, id_).instance_type == "m5.large"
    assert get(account, id_).cpu_credits == ""
    for wrong in ("t9.x", "t4g.micro"):
        error = account.error(attributes.modify_instance_attribute, instance_id=id_, instance_type={"value": wrong})
        assert error.code == "InvalidParameterValue"


def test_user_data_changes_only_while_stopped(account: Account) -> None:
    id_ = an_instance(account)
    request = {"instance_id": id_, "user_data": {"value": b"#!/bin/sh\n"}}
    assert account.error(attributes.modify_instance_attribute, **request).code == "IncorrectInstanceState"
    put(account, id_, state="stopped")
    account.do(attributes.modify_instance_attribute, **request)
    shown = account.do(describe.describe_instance_attribute, instance_id=id_, attribute="userData")
    assert base64.b64decode(shown["user_data"]["value"]) == b"#!/bin/sh\n"


@pytest.mark.parametrize(
    ("request_", "field", "value"),
    [
        ({"disable_api_termination": {"value": True}}, "disable_api_termination", True),
        ({"disable_api_stop": {"value": True}}, "disable_api_stop", True),
        ({"ebs_optimized": {"value": True}}, "ebs_optimized", True),
        ({"source_dest_check": {"value": False}}, "source_dest_check", False),
        (
            {"instance_initiated_shutdown_behavior": {"value": "terminate"}},
            "instance_initiated_shutdown_behavior",
            "terminate",
        ),
        ({"attribute": "disableApiTermination", "value": "true"}, "disable_api_termination", True),
        (
            {"attribute": "instanceInitiatedShutdownBehavior", "value": "terminate"},
            "instance_initiated_shutdown_behavior",
            "terminate",
        ),
    ],
)
def test_attributes(account: Account, request_: dict[str, Any], field: str, value: object) -> None:
    id_ = an_instance(account)
    account.do(attributes.modify_instance_attribute, instance_id=id_, **request_)
    assert getattr(get(account, id_), field) == value


def test_one_attribute_at_a_time(account: Account) -> None:
    id_ = an_instance(account)
    two = {"disable_api_stop": {"value": True}, "ebs_optimized": {"value": True}}
    error = account.error(attributes.modify_instance_attribute, instance_id=id_, **two)
    assert error.code == "InvalidParameterCombination"
    assert account.error(attributes.modify_instance_attribute, instance_id=id_).code == "MissingParameter"


@pytest.mark.parametrize(
    "attribute",
    [
        "instanceType", "kernel", "ramdisk", "userData", "disableApiTermination", "disableApiStop",
        "instanceInitiatedShutdownBehavior", "rootDeviceName", "blockDeviceMapping", "productCodes",
        "sourceDestCheck", "groupSet", "ebsOptimized", "sriovNetSupport", "enaSupport", "enclaveOptions",
    ],
)  # fmt: skip
def test_every_attribute_can_be_described(account: Account, attribute: str) -> None:
    id_ = an_instance(account)
    answer = account.do(describe.describe_instance_attribute, instance_id=id_, attribute=attribute)
    assert answer["instance_id"] == id_ and len(answer) == 2


def test_an_unknown_attribute_is_refused(account: Account) -> None:
    id_ = an_instance(account)
    error = account.error(describe.describe_instance_attribute, instance_id=id_, attribute="x")
    assert error.code == "InvalidParameterValue"


def test_metadata_options_change_at_once(account: Account) -> None:
    id_ = an_instance(account)
    answer = account.do(attributes.modify_instance_metadata_options, instance_id=id_, http_tokens="required")
    assert answer["instance_metadata_options"]["http_tokens"] == "required"
    assert get(account, id_).http_tokens == "required"
    assert get(account, id_).http_endpoint == "enabled"


def test_credit_specifications(account: Account) -> None:
    burstable, plain = an_instance(account), an_instance(account, instance_type="m5.large")
    answer = account.do(
        attributes.modify_instance_credit_specification,
        instance_credit_specifications=[
            {"instance_id": burstable, "cpu_credits": "standard"},
            {"instance_id": plain, "cpu_credits": "standard"},
            {"instance_id": ABSENT, "cpu_credits": "standard"},
        ],
    )
    assert answer["successful_instance_credit_specifications"] == [{"instance_id": burstable}]
    assert [e["error"]["code"] for e in answer["unsuccessful_instance_credit_specifications"]] == [
        "InstanceCreditSpecification.NotSupported",
        "InvalidInstanceID.NotFound",
    ]
    shown = account.do(describe.describe_instance_credit_specifications)
    assert shown["instance_credit_specifications"] == [{"instance_id": burstable, "cpu_credits": "standard"}]
    error = account.error(describe.describe_instance_credit_specifications, instance_ids=[plain])
    assert error.code == "UnsupportedOperation"


def test_monitoring_names_the_step_between(account: Account) -> None:
    id_ = an_instance(account)
    states = [
        account.do(function, instance_ids=[id_])["instance_monitorings"][0]["monitoring"]["state"]
        for function in (
            attributes.monitor_instances,
            attributes.monitor_instances,
            attributes.unmonitor_instances,
            attributes.unmonitor_instances,
        )
    ]
    assert states == ["pending", "enabled", "disabling", "disabled"]


def test_status_shows_running_instances_unless_asked_for_all(account: Account) -> None:
    up, down = an_instance(account), an_instance(account, "stopped")
    shown = account.do(describe.describe_instance_status)["instance_statuses"]
    assert [s["instance_id"] for s in shown] == [up]
    shown = account.do(describe.describe_instance_status, include_all_instances=True)["instance_statuses"]
    assert {s["instance_id"]: s["instance_status"]["status"] for s in shown} == {
        up: "initializing",
        down: "not-applicable",
    }


def test_launch_template_data_of_an_instance_launches_its_like(account: Account) -> None:
    id_ = an_instance(account, user_data=base64.b64encode(b"x").decode(), disable_api_stop=True)
    data = account.do(describe.get_launch_template_data, instance_id=id_)["launch_template_data"]
    request = {k: v for k, v in data.items() if v is not None}
    (again,) = commands.launch(account.tx, account.call, request)
    assert again.subnet_id == get(account, id_).subnet_id
    assert again.user_data == get(account, id_).user_data
    assert again.disable_api_stop
