"""One turn of a group's reconciler: what it sees, what it writes, and when it wants to look again.

Everything a group depends on is in the store (its instances' states, its targets' health), and everything it does is
a write (a launch is an Instance with `desired` running), so that a turn is one transaction: it happens whole or not
at all, and a turn that finds nothing to do writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from elba.autoscaling.commands import registration
from elba.autoscaling.lookup import fulfilled, is_warm, members_of
from elba.autoscaling.resources import Activity, Group, Member, WarmPool
from elba.call import Call
from elba.clock import Timestamp
from elba.ec2.resources import Instance, Volume
from elba.elbv2.resources import Target, TargetHealth
from elba.store.interface import Transaction

T = TypeVar("T")


class Turn:
    """`surge`: units above desired capacity wanted at this moment; `shrink_sentence`: why they go, when they do.

    `growth_sentence`: why capacity is missing, if nobody has changed desired capacity.
    """

    def __init__(self, tx: Transaction, call: Call, name: str) -> None:
        self.tx = tx
        self.call = call
        self.name = name
        self.surge = 0
        self.surge_sentence = ""
        self.growth_sentence = ""
        self.shrink_sentence = ""
        self.shrink_reason = "scale-in"
        self.refreshing = False
        self.stale: set[str] = set()
        """Warm members that an instance refresh is to replace: none of them goes into service."""
        self.take_warm: Callable[[str, str | None, str], Member | None] = lambda cause, zone, kind: None
        """Takes a prepared member from the warm pool, if there is one."""
        self.reroot: Callable[[Member], None] = lambda member: None
        """Moves on a member whose root volume is replaced."""
        self.grown_from: int | None = None
        self.next: Timestamp | None = None
        self._target_states: dict[str, tuple[str, ...]] | None = None

    @property
    def now(self) -> Timestamp:
        return self.call.now

    def find_group(self) -> Group | None:
        return self.tx.get(Group, self.call.account, self.call.region, self.name)

    @property
    def group(self) -> Group:
        group = self.find_group()
        assert group is not None, "a turn's later steps run only while the group is there"
        return group

    def change(self, **fields: object) -> None:
        """Replace fields of the group."""
        self.tx.put(msgspec.structs.replace(self.group, **fields))

    def members(self) -> list[Member]:
        """Members of the group proper: without its warm pool."""
        return [m for m in members_of(self.tx, self.group) if not is_warm(m)]

    def warm(self) -> list[Member]:
        return [m for m in members_of(self.tx, self.group) if is_warm(m)]

    def pool(self) -> WarmPool | None:
        return self.tx.get(WarmPool, self.call.account, self.call.region, self.name)

    def instance(self, member: Member) -> Instance | None:
        return self.tx.get(Instance, member.account, member.region, member.id)

    def state_of(self, member: Member) -> str:
        """EC2's state of the instance; "terminated" for one that EC2 no longer knows."""
        instance = self.instance(member)
        return "terminated" if instance is None else instance.state

    def volume_impaired_since(self, member: Member) -> Timestamp:
        """When the first of the instance's volumes stalled; 0 if none has."""
        volumes = self.tx.children(Volume, member.account, member.region, member.id)
        return min((v.impaired_since for v in volumes if v.impaired_since), default=0.0)

    def activity(self, member: Member) -> Activity | None:
        if not member.activity_id:
            return None
        return self.tx.get(Activity, member.account, member.region, member.activity_id)

    def look_again_at(self, time: Timestamp) -> None:
        if time > self.now and (self.next is None or time < self.next):
            self.next = time

    def capacity(self) -> int:
        return fulfilled(self.members())

    def target(self) -> int:
        """The units wanted now, surge included."""
        return self.group.desired_capacity + max(self.group.surge, self.surge)

    def busy(self) -> bool:
        """Some activity of the group proper is in progress."""
        return any(m.activity_id for m in self.members())

    def target_states(self, member: Member) -> tuple[str, ...]:
        """Health of the member's targets in attachments that are InService; draining targets say nothing."""
        if self._target_states is None:
            self._target_states = self._look_at_targets()
        return self._target_states.get(member.id, ())

    def _look_at_targets(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for group in registration.target_groups(self.tx, self.group, ("InService",)):
            for target in self.tx.children(Target, group.account, group.region, group.id):
                if not target.draining_since:
                    health = self.tx.get(TargetHealth, target.account, target.region, target.id)
                    state = "initial" if health is None else health.state
                    found[target.target_id] = (*found.get(target.target_id, ()), state)
        return found

    def forget_targets(self) -> None:
        """Targets or attachments were changed in this turn."""
        self._target_states = None

    def settled(self, member: Member, warmup_seconds: float) -> bool:
        """In service, healthy, past its warmup and its first health check (for which it has the grace period)."""
        if member.lifecycle_state != "InService" or member.health_status != "Healthy":
            return False
        if member.in_service_at + warmup_seconds > self.now:
            self.look_again_at(member.in_service_at + warmup_seconds)
            return False
        group = self.group
        if "ELB" in group.health_check_types and "initial" in self.target_states(member):
            grace_ends = member.in_service_at + group.health_check_grace_period
            if grace_ends > self.now:
                self.look_again_at(grace_ends)
                return False
        return True

    def attempt(self, act: Callable[[], T]) -> T:
        """Run `act`; if it raises, the transaction is as before."""
        saved = dict(self.tx.changes)
        try:
            return act()
        except BaseException:
            self.tx.changes.clear()
            self.tx.changes.update(saved)
            raise
