"""Load balancers: every check of elb-api.md B1, in its words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from elba.ec2.addresses import available_address_count
from elba.ec2.resources import NetworkInterface, Subnet
from elba.elbv2 import commands, queries
from elba.elbv2.hosted_zones import HOSTED_ZONES
from elba.elbv2.resources import CookieKeys, Listener, LoadBalancer, Rule, TargetGroup
from tests.unit.elbv2.account import ACCOUNT, REGION, AnAccount

UNKNOWN = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/lb/0123456789abcdef"


def create(account: AnAccount, **more: Any) -> dict[str, Any]:
    request = {"name": "lb", "subnets": account.subnets[:2], **more}
    request = {key: value for key, value in request.items() if value is not None}
    answer: dict[str, Any] = account.do(commands.create_load_balancer, **request)["load_balancers"][0]
    return answer


def test_created_it_is_provisioning_with_an_address_in_each_zone(account: AnAccount) -> None:
    shown = create(account, subnets=account.subnets)
    assert shown["state"] == {"code": "provisioning"}
    assert shown["load_balancer_arn"].startswith(
        f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/lb/"
    )
    assert shown["scheme"] == "internet-facing"
    assert shown["type"] == "application"
    assert shown["ip_address_type"] == "ipv4"
    assert shown["vpc_id"] == account.vpc.id
    assert shown["canonical_hosted_zone_id"] == "Z35SXDOTRQ7X7K"
    name, _, rest = shown["dns_name"].partition(".")
    assert rest == "us-east-1.elb.localhost"
    assert name.removeprefix("lb-").isdecimal() and len(name.removeprefix("lb-")) in (9, 10)
    assert [zone["zone_name"] for zone in shown["availability_zones"]] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert len(shown["security_groups"]) == 1
    balancer = account.all(LoadBalancer)[0]
    interfaces = {i.id: i for i in account.all(NetworkInterface)}
    for zone in balancer.zones:
        interface = interfaces[zone.network_interface_id]
        assert interface.owner == balancer.id
        assert interface.description == f"ELB {balancer.resource_id}"
        assert interface.public
        assert zone.host_address == interface.host_address != ""
    assert len(account.all(CookieKeys)[0].keys) == 1


def test_an_internal_one_says_so_in_its_name(account: AnAccount) -> None:
    shown = create(account, scheme="internal")
    assert shown["dns_name"].startswith("internal-lb-")
    assert not any(interface.public for interface in account.all(NetworkInterface))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x" * 33, "cannot be longer than '32' characters"),
        ("a_b", "can only contain characters that are alphanumeric characters and hyphens(-)"),
        ("-a", "The load balancer name '-a' cannot begin with a hyphen(-)"),
        ("a-", "The load balancer name 'a-' cannot end with a hyphen(-)"),
        ("internal-a", "cannot begin with 'internal-'"),
        ("INTERNAL-a", "cannot begin with 'internal-'"),
        ("", "cannot be empty"),
    ],
)
def test_names(account: AnAccount, name: str, text: str) -> None:
    with account.refused("ValidationError", text):
        create(account, name=name)


@pytest.mark.parametrize("type_", ["network", "gateway"])
def test_other_types_are_honestly_not_there(account: AnAccount, type_: str) -> None:
    with account.refused("OperationNotPermitted", f"Load balancers of type '{type_}' are not built yet"):
        create(account, type=type_)


def test_subnets(account: AnAccount) -> None:
    one, two, _ = account.subnets
    same_zone = account.subnet("172.31.200.0/24", "us-east-1a")
    tiny = account.subnet("172.31.201.0/28", "us-east-1b")
    account.subnet("172.31.202.0/28", "us-east-1c")
    vpc, others, _ = account.another_vpc()
    with account.refused("ValidationError", "You must specify either subnets or subnet mappings"):
        create(account, subnets=None)
    with account.refused("ValidationError"):
        create(account, subnet_mappings=[{"subnet_id": one}])
    with account.refused(
        "ValidationError", "At least two subnets in two different Availability Zones must be specified"
    ):
        create(account, subnets=[one])
    with account.refused("ValidationError", "At least two subnets in two different Availability Zones"):
        create(account, subnets=[one, one])
    with account.refused(
        "InvalidConfigurationRequest",
        "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
    ):
        create(account, subnets=[one, same_zone, two])
    with account.refused("SubnetNotFound", "subnet-0000"):
        create(account, subnets=[one, "subnet-0000"])
    with account.refused("InvalidConfigurationRequest"):
        create(account, subnets=[one, others[1]])
    with account.refused("InvalidSubnet", f"VPC {vpc.id} has no internet gateway"):
        create(account, subnets=others)
    assert create(account, name="in", subnets=others, scheme="internal")["vpc_id"] == vpc.id
    for n in range(5):
        account.instance(subnet=tiny)
        if n < 3:
            assert create(account, name=f"l{n}", subnets=[one, account.subnets[2]])
    with account.refused("InvalidSubnet", f"Not enough IP space available in {tiny}"):
        create(account, subnets=[one, tiny])


def test_subnet_mappings(account: AnAccount) -> None:
    one, two, _ = account.subnets
    mappings = [{"subnet_id": one}, {"subnet_id": two}]
    assert len(create(account, subnets=None, subnet_mappings=mappings)["availability_zones"]) == 2
    for member, text in (
        ("allocation_id", "Elastic IPs are not supported for load balancers with type 'application'"),
        (
            "private_i_pv4_address",
            "You can only specify private IPv4 addresses for Network Load Balancers with scheme 'internal'.",
        ),
        ("i_pv6_address", "load balancers of type 'application'"),
        ("source_nat_ipv6_prefix", "load balancers of type 'application'"),
    ):
        with account.refused("InvalidConfigurationRequest", text):
            create(account, name="x", subnets=None, subnet_mappings=[{"subnet_id": one, member: "v"}, *mappings[1:]])


def test_security_groups(account: AnAccount) -> None:
    with account.refused("InvalidSecurityGroup", "sg-0000"):
        create(account, security_groups=["sg-0000"])
    _, _, elsewhere = account.another_vpc()
    with account.refused("InvalidConfigurationRequest", "One or more security groups are invalid"):
        create(account, security_groups=[elsewhere])
    with account.refused(
        "InvalidConfigurationRequest", "'EnablePrefixForIpv6SourceNat' can only be specified for Load"
    ):
        create(account, enable_prefix_for_ipv6_source_nat="on")


def test_ip_address_types_need_what_they_need(account: AnAccount) -> None:
    with account.refused("InvalidSubnet", "IPv6 CIDR block"):
        create(account, ip_address_type="dualstack")
    with account.refused("InvalidConfigurationRequest", "internet-facing"):
        create(account, scheme="internal", ip_address_type="dualstack-without-public-ipv4")


def test_the_same_call_again_is_the_same_load_balancer(account: AnAccount) -> None:
    first = create(account, tags=[{"key": "k", "value": "v"}])
    again = create(account, tags=[{"key": "k", "value": "v"}], subnets=account.subnets[1::-1])
    assert again == first
    text = "A load balancer with the same name 'lb' exists, but with different settings"
    for change in ({"scheme": "internal"}, {"subnets": account.subnets}, {"tags": None}):
        with account.refused("DuplicateLoadBalancerName", text):
            create(account, **{"tags": [{"key": "k", "value": "v"}], **change})


def test_quota(account: AnAccount) -> None:
    for n in range(50):
        create(account, name=f"lb-{n}")
    with account.refused("TooManyLoadBalancers"):
        create(account, name="one-more")
    assert create(account, name="lb-49")["load_balancer_name"] == "lb-49"


def test_delete_gives_everything_back(account: AnAccount) -> None:
    subnets = account.all(Subnet)
    before = [available_address_count(account.view, subnet) for subnet in subnets]
    arn = account.load_balancer()
    group = account.target_group()
    listener = account.listener(arn, group)
    account.rule(listener)
    account.do(commands.delete_load_balancer, load_balancer_arn=arn)
    assert not account.all(LoadBalancer) and not account.all(Listener) and not account.all(Rule)
    assert not account.all(CookieKeys) and not account.all(NetworkInterface)
    assert [available_address_count(account.view, subnet) for subnet in subnets] == before
    assert account.all(TargetGroup)[0].load_balancer_arns == []
    account.do(commands.delete_load_balancer, load_balancer_arn=arn)  # gone is gone
    with account.refused("ValidationError", "'abc' is not a valid load balancer ARN"):
        account.do(commands.delete_load_balancer, load_balancer_arn="abc")


def test_deletion_protection(account: AnAccount) -> None:
    arn = account.load_balancer()
    on = [{"key": "deletion_protection.enabled", "value": "true"}]
    account.do(commands.modify_load_balancer_attributes, load_balancer_arn=arn, attributes=on)
    text = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
    with account.refused("OperationNotPermitted", text):
        account.do(commands.delete_load_balancer, load_balancer_arn=arn)


def test_set_subnets_keeps_the_address_of_a_zone_that_stays(account: AnAccount) -> None:
    arn = account.load_balancer()
    one, two, three = account.subnets
    before = {zone.subnet_id: zone for zone in account.all(LoadBalancer)[0].zones}
    answer = account.do(commands.set_subnets, load_balancer_arn=arn, subnets=[one, three])
    assert [zone["subnet_id"] for zone in answer["availability_zones"]] == [one, three]
    assert answer["ip_address_type"] == "ipv4"
    after = {zone.subnet_id: zone for zone in account.all(LoadBalancer)[0].zones}
    assert after[one] == before[one]
    assert {i.subnet_id for i in account.all(NetworkInterface)} == {one, three}
    with account.refused("ValidationError", "At least two subnets"):
        account.do(commands.set_subnets, load_balancer_arn=arn, subnets=[two])
    with account.refused("LoadBalancerNotFound", UNKNOWN):
        account.do(commands.set_subnets, load_balancer_arn=UNKNOWN, subnets=[one, two])
    _, others, _ = account.another_vpc()
    with account.refused("InvalidConfigurationRequest"):
        account.do(commands.set_subnets, load_balancer_arn=arn, subnets=others)


def test_set_security_groups(account: AnAccount) -> None:
    arn = account.load_balancer()
    own = account.all(LoadBalancer)[0].security_groups
    answer = account.do(commands.set_security_groups, load_balancer_arn=arn, security_groups=own)
    assert answer == {"security_group_ids": own}
    with account.refused("InvalidConfigurationRequest", "at least one security group"):
        account.do(commands.set_security_groups, load_balancer_arn=arn, security_groups=[])
    with account.refused("InvalidSecurityGroup"):
        account.do(commands.set_security_groups, load_balancer_arn=arn, security_groups=["sg-0"])


def test_set_ip_address_type(account: AnAccount) -> None:
    arn = account.load_balancer()
    answer = account.do(commands.set_ip_address_type, load_balancer_arn=arn, ip_address_type="ipv4")
    assert answer == {"ip_address_type": "ipv4"}
    with account.refused("InvalidSubnet"):
        account.do(commands.set_ip_address_type, load_balancer_arn=arn, ip_address_type="dualstack")
    for number, subnet in enumerate(account.all(Subnet)):
        changed = replace(subnet, ipv6_cidr_block=f"2600:1f18:0:{number}::/64", ipv6_association_id="x")
        account.write(lambda tx, changed=changed: tx.put(changed))
    answer = account.do(commands.set_ip_address_type, load_balancer_arn=arn, ip_address_type="dualstack")
    assert answer == {"ip_address_type": "dualstack"}


def test_capacity_reservation(account: AnAccount) -> None:
    arn = account.load_balancer()

    def reserve(units: int | None, **more: Any) -> dict[str, Any]:
        capacity = None if units is None else {"capacity_units": units}
        return account.do(
            commands.modify_capacity_reservation,
            load_balancer_arn=arn,
            minimum_load_balancer_capacity=capacity,
            **more,
        )

    with account.refused("ValidationError"):
        reserve(None)
    with account.refused("InvalidConfigurationRequest"):
        reserve(99)
    with account.refused("CapacityUnitsLimitExceeded"):
        reserve(15_001)
    answer = reserve(500)
    assert answer["minimum_load_balancer_capacity"] == {"capacity_units": 500}
    assert {zone["state"]["code"] for zone in answer["capacity_reservation_state"]} == {"provisioned"}
    assert reserve(400)["decrease_requests_remaining"] == 1
    assert reserve(300)["decrease_requests_remaining"] == 0
    with account.refused("CapacityDecreaseRequestLimitExceeded"):
        reserve(200)
    account.now += 86_400
    assert reserve(200)["decrease_requests_remaining"] == 1
    assert "minimum_load_balancer_capacity" not in reserve(None, reset_capacity_reservation=True)
    shown = account.ask(queries.describe_capacity_reservation, load_balancer_arn=arn)
    assert shown["capacity_reservation_state"] == []


def test_ip_pools(account: AnAccount) -> None:
    arn = account.load_balancer()
    assert account.do(commands.modify_ip_pools, load_balancer_arn=arn, remove_ipam_pools=["ipv4"])
    with account.refused("ValidationError", "ipam-pool-1"):
        account.do(commands.modify_ip_pools, load_balancer_arn=arn, ipam_pools={"ipv4_ipam_pool_id": "ipam-pool-1"})


def test_attributes(account: AnAccount) -> None:
    arn = account.load_balancer()

    def modify(*pairs: tuple[str, str]) -> dict[str, str]:
        attributes = [{"key": key, "value": value} for key, value in pairs]
        answer = account.do(commands.modify_load_balancer_attributes, load_balancer_arn=arn, attributes=attributes)
        return {a["key"]: a["value"] for a in answer["attributes"]}

    shown = account.ask(queries.describe_load_balancer_attributes, load_balancer_arn=arn)["attributes"]
    assert {a["key"]: a["value"] for a in shown} == {
        "access_logs.s3.enabled": "false",
        "access_logs.s3.bucket": "",
        "access_logs.s3.prefix": "",
        "client_keep_alive.seconds": "3600",
        "connection_logs.s3.bucket": "",
        "connection_logs.s3.enabled": "false",
        "connection_logs.s3.prefix": "",
        "deletion_protection.enabled": "false",
        "health_check_logs.s3.bucket": "",
        "health_check_logs.s3.enabled": "false",
        "health_check_logs.s3.prefix": "",
        "idle_timeout.timeout_seconds": "60",
        "ipv6.deny_all_igw_traffic": "false",
        "load_balancing.cross_zone.enabled": "true",
        "routing.http.desync_mitigation_mode": "defensive",
        "routing.http.drop_invalid_header_fields.enabled": "false",
        "routing.http.preserve_host_header.enabled": "false",
        "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
        "routing.http.xff_client_port.enabled": "false",
        "routing.http.xff_header_processing.mode": "append",
        "routing.http2.enabled": "true",
        "waf.fail_open.enabled": "false",
        "zonal_shift.config.enabled": "false",
    }
    assert modify(("idle_timeout.timeout_seconds", "4000"))["idle_timeout.timeout_seconds"] == "4000"
    assert account.all(LoadBalancer)[0].attributes == {"idle_timeout.timeout_seconds": "4000"}
    assert modify(("idle_timeout.timeout_seconds", "60"))["idle_timeout.timeout_seconds"] == "60"
    assert account.all(LoadBalancer)[0].attributes == {}
    for key, value, text in (
        ("idle_timeout.timeout_seconds", "0",
         "The value of 'idle_timeout.timeout_seconds' cannot be less than 1 characters"),
        ("idle_timeout.timeout_seconds", "4001",
         "The value of 'idle_timeout.timeout_seconds' cannot be greater than 4000 characters"),
        ("idle_timeout.timeout_seconds", "x", "idle_timeout.timeout_seconds"),
        ("routing.http2.enabled", "yes",
         "The value of 'routing.http2.enabled' must be 'true' or 'false', but was 'yes'"),
        ("routing.http.desync_mitigation_mode", "strict",
         "'strict' must be one of [defensive, monitor, strictest]"),
        ("routing.http.xff_header_processing.mode", "drop",
         "'routing.http.xff_header_processing.mode' must be set as 'preserve', 'append', or 'remove'"),
        ("access_logs.s3.prefix", "AWSLogs/x", "access_logs.s3.prefix"),
        ("access_logs.s3.prefix", "/x", "access_logs.s3.prefix"),
        ("dns_record.client_routing_policy", "any_availability_zone",
         "Load balancer attribute key 'dns_record.client_routing_policy' is not recognized"),
    ):  # fmt: skip
        with account.refused("ValidationError", text):
            modify(("client_keep_alive.seconds", "60"), (key, value))
    with account.refused("ValidationError", "Load balancer attribute key 'nonsense' is not recognized"):
        modify(("nonsense", "1"))
    with account.refused("ValidationError", "'client_keep_alive.seconds' must be an integer between 60 and 604800"):
        modify(("client_keep_alive.seconds", "59"))
    with account.refused(
        "InvalidConfigurationRequest",
        "The value for 'load_balancing.cross_zone.enabled' must always be 'true' for an Application Load Balancer",
    ):
        modify(("load_balancing.cross_zone.enabled", "false"))
    for kind in ("access", "connection"):
        text = f"The key '{kind}_logs.s3.bucket' must set in order to enable {kind} logs"
        with account.refused("InvalidConfigurationRequest", text):
            modify((f"{kind}_logs.s3.enabled", "true"))
    text = "Attribute key 'routing.http2.enabled' has been specified more than once"
    with account.refused("ValidationError", text):
        modify(("routing.http2.enabled", "true"), ("routing.http2.enabled", "false"))


def test_describe(account: AnAccount) -> None:
    arns = [account.load_balancer(f"lb-{n}") for n in range(5)]

    def names(**request: Any) -> list[str]:
        answer = account.ask(queries.describe_load_balancers, **request)
        return [balancer["load_balancer_name"] for balancer in answer["load_balancers"]]

    assert names() == [f"lb-{n}" for n in range(5)]
    assert names(names=["lb-3"]) == ["lb-3"]
    assert names(load_balancer_arns=arns[:2]) == ["lb-0", "lb-1"]
    with account.refused("LoadBalancerNotFound", "Load balancers '[nope]' not found"):
        names(names=["lb-1", "nope"])
    with account.refused("LoadBalancerNotFound"):
        names(load_balancer_arns=[UNKNOWN])
    with account.refused("ValidationError"):
        names(names=["lb-1"], load_balancer_arns=arns)
    with account.refused("ValidationError", "Up to 20"):
        names(names=[f"n{n}" for n in range(21)])
    with account.refused("ValidationError", "'abc' is not a valid load balancer ARN"):
        names(load_balancer_arns=["abc"])


def test_pages(account: AnAccount) -> None:
    arns = [account.load_balancer(f"lb-{n}") for n in range(5)]
    seen, marker = [], None
    for size in (2, 2, 2):
        answer = account.ask(queries.describe_load_balancers, page_size=size, **({"marker": marker} if marker else {}))
        seen += [balancer["load_balancer_arn"] for balancer in answer["load_balancers"]]
        marker = answer["next_marker"]
        if len(seen) == 2:
            # The item that the marker names is gone: none is lost.
            account.do(commands.delete_load_balancer, load_balancer_arn=arns[1])
    assert marker is None
    assert seen == arns
    with account.refused("ValidationError", "marker"):
        account.ask(queries.describe_load_balancers, marker="%%%")


def test_every_region_has_two_zones() -> None:
    assert len(HOSTED_ZONES) == 21
    assert len({zone for pair in HOSTED_ZONES.values() for zone in pair}) == 42
