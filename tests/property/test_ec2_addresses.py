"""No address is ever held twice, whatever is launched, ended, created and deleted, in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elba.call import Answer, Call, Request
from elba.ec2 import commands
from elba.ec2.addresses import available_address_count, subnet_capacity
from elba.ec2.commands import elastic_ips, interfaces, lifecycle, vpcs
from elba.ec2.images import public_parameters
from elba.ec2.resources import (
    Address,
    Instance,
    NetworkInterface,
    PrivateAddress,
    Subnet,
    Volume,
    Vpc,
)
from elba.errors import ApiError
from elba.ids import IdSource
from elba.store.interface import Image, Transaction

REGION = "us-east-1"
AMI = public_parameters(REGION)["/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"]
ACCOUNTS = ("111111111111", "222222222222")


class Network(RuleBasedStateMachine):
    """Two accounts with small subnets, so that they fill up."""

    def __init__(self) -> None:
        super().__init__()
        self.image = Image()
        self.ids = IdSource(3)
        self.now = 0.0
        for account in ACCOUNTS:
            self.run(account, lambda tx, call, _: commands.ensure_defaults(tx, call) or {})
            vpc = self.run(account, vpcs.create_vpc, cidr_block="10.0.0.0/24")["vpc"]["vpc_id"]
            for block in ("10.0.0.0/28", "10.0.0.16/28"):
                self.run(account, vpcs.create_subnet, vpc_id=vpc, cidr_block=block)

    def run(self, account: str, command: Any, **request: Any) -> Answer:
        """As a store would: all of a command's changes, or none if it raises."""
        self.now += 1
        transaction = Transaction(self.image)
        call = Call(account, REGION, self.now, self.ids)
        typed: Request = request
        answer: Answer = command(transaction, call, typed)
        for key, value in transaction.changes.items():
            if value is None:
                self.image.delete(key)
            else:
                self.image.put(value)
        return answer

    def attempt(self, account: str, command: Any, **request: Any) -> None:
        try:
            self.run(account, command, **request)
        except ApiError as error:
            assert error.status < 500

    def small_subnets(self, account: str) -> list[Subnet]:
        return [s for s in self.image.all(Subnet, account, REGION) if not s.default_for_az]

    @rule(account=st.sampled_from(ACCOUNTS), number=st.integers(0, 1), count=st.integers(1, 6), most=st.integers(0, 3))
    def launch(self, account: str, number: int, count: int, most: int) -> None:
        subnet = self.small_subnets(account)[number]
        free = available_address_count(self.image, subnet)
        try:
            answer = self.run(
                account,
                commands.run_instances,
                image_id=AMI,
                instance_type="t3.micro",
                min_count=count,
                max_count=count + most,
                subnet_id=subnet.id,
            )
        except ApiError as error:
            assert error.code == "InsufficientFreeAddressesInSubnet" and free < count
        else:
            assert len(answer["instances"]) == min(count + most, free)

    @rule(account=st.sampled_from(ACCOUNTS), number=st.integers(0, 1), last=st.integers(0, 40))
    def make_interface(self, account: str, number: int, last: int) -> None:
        """With an address of its own choice, or (above the subnet) Elba's."""
        subnet = self.small_subnets(account)[number]
        wanted = {"private_ip_address": f"10.0.0.{last}"} if last < 32 else {"secondary_private_ip_address_count": 2}
        self.attempt(account, interfaces.create_network_interface, subnet_id=subnet.id, **wanted)

    @precondition(lambda self: self.image.all(Instance))
    @rule(data=st.data(), done=st.booleans())
    def terminate(self, data: st.DataObject, done: bool) -> None:
        instance = data.draw(st.sampled_from(self.image.all(Instance)))
        self.run(instance.account, lifecycle.terminate_instances, instance_ids=[instance.id])
        if done:
            self.run(
                instance.account,
                lambda tx, call, _: commands.record_terminated(tx, call, instance.id) or {},
            )

    @precondition(lambda self: self.image.all(NetworkInterface))
    @rule(data=st.data())
    def delete_interface(self, data: st.DataObject) -> None:
        interface = data.draw(st.sampled_from(self.image.all(NetworkInterface)))
        self.attempt(interface.account, interfaces.delete_network_interface, network_interface_id=interface.id)

    @precondition(lambda self: self.image.all(NetworkInterface))
    @rule(data=st.data(), again=st.booleans())
    def associate(self, data: st.DataObject, again: bool) -> None:
        interface = data.draw(st.sampled_from(self.image.all(NetworkInterface)))
        account = interface.account
        if not self.image.all(Address, account) or data.draw(st.booleans()):
            self.run(account, elastic_ips.allocate_address)
        address = data.draw(st.sampled_from(self.image.all(Address, account)))
        self.attempt(
            account,
            elastic_ips.associate_address,
            allocation_id=address.id,
            network_interface_id=interface.id,
            allow_reassociation=again,
        )

    @rule(account=st.sampled_from(ACCOUNTS))
    def forget(self, account: str) -> None:
        self.now += 1000
        self.run(account, lambda tx, call, _: {"ids": commands.forget_terminated(tx, call)})

    @invariant()
    def nothing_is_held_twice(self) -> None:
        held: dict[str, str] = {}
        for interface in self.image.all(NetworkInterface):
            assert interface.host_address not in held
            held[interface.host_address] = interface.id
        by_subnet: dict[tuple[str, str], str] = {}
        for interface in self.image.all(NetworkInterface):
            for address in (interface.private_ip_address, *interface.secondary_private_ip_addresses):
                assert (interface.subnet_id, address) not in by_subnet
                by_subnet[interface.subnet_id, address] = interface.id
        taken = {tuple(a.id.split("/")): a.network_interface_id for a in self.image.all(PrivateAddress)}
        assert taken == by_subnet

    @invariant()
    def counts_are_right(self) -> None:
        for subnet in self.image.all(Subnet):
            used = sum(1 for a in self.image.all(PrivateAddress) if a.id.startswith(subnet.id))
            assert available_address_count(self.image, subnet) == subnet_capacity(subnet) - used

    @invariant()
    def slices_are_unique(self) -> None:
        slices = [vpc.slice for vpc in self.image.all(Vpc)]
        assert len(set(slices)) == len(slices)

    @invariant()
    def associations_agree(self) -> None:
        for address in self.image.all(Address):
            holders = [i for i in self.image.all(NetworkInterface) if i.elastic_ip == address.public_ip]
            if address.network_interface_id:
                assert [h.id for h in holders] == [address.network_interface_id]
                assert holders[0].association_id == address.association_id
            else:
                assert not holders

    @invariant()
    def living_instances_have_what_they_need(self) -> None:
        for instance in self.image.all(Instance):
            interface = self.image.get(NetworkInterface, instance.account, REGION, instance.network_interface_id)
            volumes = self.image.children(Volume, instance.account, REGION, instance.id)
            if instance.state == "terminated":
                assert interface is None and not volumes
            else:
                assert interface is not None and interface.owner == instance.id and len(volumes) == 1


Network.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestNetwork = Network.TestCase
