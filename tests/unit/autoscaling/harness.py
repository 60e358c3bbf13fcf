"""Auto Scaling on a virtual clock: real API, store and EC2 reconcilers over fake instances; targets that a test moves.

Smaller than `elba.testing.World`: no zone nodes and no metrics, so that a test says itself what a load balancer
reports and what an alarm saw.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

import elba.autoscaling.reconcilers
import elba.ec2.reconcilers
from elba.autoscaling.advance import advance
from elba.autoscaling.resources import Activity, Group, LifecycleAction, Member
from elba.call import Call
from elba.clock import VirtualClock
from elba.cloudwatch import commands as cloudwatch
from elba.cloudwatch.resources import Alarm
from elba.compute.fake import FakeProvider
from elba.config import Settings
from elba.context import Ports
from elba.dataplane.fake import FakeNodes
from elba.datapoints import Datapoint
from elba.ec2 import commands as ec2
from elba.ec2.commands import launch_templates
from elba.ec2.images import built_in_images
from elba.ec2.resources import Instance, LaunchTemplate, Vpc
from elba.elbv2 import commands as elbv2
from elba.elbv2.attributes import deregistration_delay_seconds
from elba.elbv2.resources import Target, TargetGroup, TargetHealth
from elba.ids import IdSource
from elba.parts import Parts
from elba.reconcile import Again, Done, ReconcileQueue, Reconciler
from elba.resource import Key
from elba.server.app import build_app
from elba.server.inprocess import InProcess
from elba.store import MemoryEngine, Store
from elba.store.interface import Transaction
from elba.testing.virtual_loop import VirtualLoop

REGION = "us-east-1"
ACCOUNT = "111122223333"


class Sink:
    def __init__(self) -> None:
        self.points: list[Datapoint] = []

    def put(self, datapoints: Iterable[Datapoint]) -> None:
        self.points.extend(datapoints)


class TargetMover:
    """Stands in for ELBv2's reconciler: drained targets go, registered ones become what `health` says."""

    name = "test.targets"

    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return [changed] if changed.kind == Target.KIND else []

    def all_keys(self) -> Iterable[Key]:
        return [t.key for t in self._harness.store.view.all(Target)]

    async def reconcile(self, key: Key) -> Any:
        harness = self._harness
        target = harness.store.view.get(Target, key.account, key.region, key.id)
        if target is None:
            return Done()
        if target.draining_since:
            group = harness.store.view.get(TargetGroup, key.account, key.region, target.target_group_arn)
            assert group is not None
            ends = target.draining_since + deregistration_delay_seconds(group)
            if ends > harness.clock.now():
                return Again(ends - harness.clock.now())
            await harness.store.write(lambda tx: tx.delete(target), "drained")
        elif harness.store.view.get(TargetHealth, key.account, key.region, key.id) is None:
            await asyncio.sleep(harness.check_seconds)
            await harness.store.write(lambda tx: tx.put(harness.health_of(target)), "checked")
        return Done()


class Harness:
    def __init__(self, seed: int = 1, boot_seconds: float = 5.0) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock()
        self.ids = IdSource(seed)
        self.engine = MemoryEngine()
        self.provider = FakeProvider(self.clock, boot_seconds=boot_seconds)
        self.nodes = FakeNodes(self.clock, running=list, report_interval_seconds=1e6)
        self.sink = Sink()
        self.check_seconds = 5.0
        self.unhealthy: set[str] = set()
        self.clients: InProcess | None = None
        self.start()

    def start(self) -> None:
        self.store = Store(self.engine, now=self.clock.now)
        self.loop.run(self.store.open())
        settings = Settings(auth="open")
        self.parts = Parts(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            provider=self.provider,
            nodes=self.nodes,
            metrics=self.sink,
            settings={},
        )
        ports = Ports(metrics=self.sink, console=self.provider)
        self.app = build_app(self.store, self.clock, ports, settings, ids=self.ids)
        if self.clients is None:
            self.clients = InProcess(self.app, self.loop, region=REGION, access_key=ACCOUNT)
            self.asg = self.clients.client("autoscaling")
        self.clients.app = self.app  # after a restart the same client goes on with the new control plane
        self.loop.run(self._run())

    async def _run(self) -> None:
        built = [*elba.ec2.reconcilers.build(self.parts), *elba.autoscaling.reconcilers.build(self.parts)]
        reconcilers: list[Reconciler] = [b for b in built if hasattr(b, "reconcile")]  # type: ignore[misc]
        wanted = ("elba.autoscaling", "elba.ec2")
        self.queue = ReconcileQueue(self.store, self.clock, [*reconcilers, TargetMover(self)])
        self.queue.start()
        names = ("watch", "autoscaling")
        self.tickers = [
            asyncio.create_task(b.run())
            for b in built
            if hasattr(b, "run") and type(b).__module__.startswith(wanted) and any(n in b.name for n in names)
        ]

    def stop(self) -> None:
        async def stop() -> None:
            for ticker in self.tickers:
                ticker.cancel()
            await asyncio.gather(*self.tickers, return_exceptions=True)
            await self.queue.stop()

        self.loop.run(stop())

    def restart(self) -> None:
        """The control plane dies where it stands, and a new one starts over what is durable."""
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        self.loop.run(self.store.close())
        self.nodes.shutdown()
        self.loop.close()

    # ── time and state ───────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> float:
        return self.clock.start + self.loop.time()

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    def write(self, command: Callable[[Any], Any]) -> Any:
        return self.loop.run(self.store.write(command, "test"))

    def call(self) -> Call:
        return Call(account=ACCOUNT, region=REGION, now=self.now, ids=self.ids)

    def group(self, name: str = "g") -> Group:
        group = self.store.view.get(Group, ACCOUNT, REGION, name)
        assert group is not None
        return group

    def members(self, state: str | None = None, name: str = "g") -> list[Member]:
        members = self.store.view.children(Member, ACCOUNT, REGION, name)
        return [m for m in members if state in (None, m.lifecycle_state)]

    def in_service(self, name: str = "g") -> list[Member]:
        return self.members("InService", name)

    def activities(self, name: str = "g") -> list[Activity]:
        return self.store.view.children(Activity, ACCOUNT, REGION, name)

    def described(self, name: str = "g") -> dict[str, Any]:
        answer = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        found: dict[str, Any] = answer["AutoScalingGroups"][0]
        return found

    def zones(self, name: str = "g") -> list[int]:
        """Members in service by zone, most first."""
        counts = dict.fromkeys(self.group(name).availability_zones, 0)
        for member in self.in_service(name):
            counts[member.availability_zone] = counts.get(member.availability_zone, 0) + 1
        return sorted(counts.values(), reverse=True)

    # ── builders ─────────────────────────────────────────────────────────────────────────────────────

    def template(self, name: str = "web", **data: Any) -> str:
        """A launch template of that name; a new version if it is there."""
        image = next(i for i in built_in_images(REGION).values() if i.architecture == "x86_64")
        request = {
            "launch_template_name": name,
            "launch_template_data": {"image_id": image.id, "instance_type": "t3.micro", **data},
        }
        there = self._template(name)
        make = launch_templates.create_launch_template
        if there is not None:
            make = launch_templates.create_launch_template_version
        self.write(lambda tx: make(tx, self.call(), request))
        found = self._template(name)
        assert found is not None
        return found.id

    def has_template(self) -> bool:
        return self._template("web") is not None

    def template_id(self, name: str = "web") -> str:
        """Of a template that is there."""
        found = self._template(name)
        assert found is not None
        return found.id

    def waiting_actions(self) -> list[LifecycleAction]:
        return [a for a in self.store.view.all(LifecycleAction, ACCOUNT, REGION) if a.waits]

    def _template(self, name: str) -> LaunchTemplate | None:
        found = self.store.view.all(LaunchTemplate, ACCOUNT, REGION)
        return next((t for t in found if t.launch_template_name == name), None)

    def delete_template(self, name: str = "web") -> None:
        request = {"launch_template_name": name}
        self.write(lambda tx: launch_templates.delete_launch_template(tx, self.call(), request))

    def kill(self, *instance_ids: str) -> None:
        """As a user's TerminateInstances."""
        self.write(lambda tx: ec2.terminate(tx, self.call(), instance_ids, honour_protection=True))

    def images(self) -> list[str]:
        return [i.id for i in built_in_images(REGION).values() if i.architecture == "x86_64"]

    def instances(self) -> list[Instance]:
        return self.store.view.all(Instance)

    def interrupt(self, instance_id: str) -> None:
        """The spot instance gets its two minutes' notice."""

        def command(tx: Any) -> None:
            instance = tx.get(Instance, ACCOUNT, REGION, instance_id)
            tx.put(msgspec.structs.replace(instance, spot_interruption_time=self.now + 120))

        self.write(command)

    def instance_states(self) -> list[str]:
        return sorted(i.state for i in self.store.view.all(Instance))

    def create(self, name: str = "g", minimum: int = 1, maximum: int = 4, **fields: Any) -> None:
        """A group in zones a and b (or `zones`, letters) over template `web`, made if it is not there."""
        zones = fields.pop("zones", "ab")
        launches = {"LaunchConfigurationName", "MixedInstancesPolicy", "LaunchTemplate", "InstanceId"}
        if not launches & set(fields):
            if self._template("web") is None:
                self.template()
            fields["LaunchTemplate"] = {"LaunchTemplateName": "web", "Version": "$Latest"}
        if "VPCZoneIdentifier" not in fields:
            fields["AvailabilityZones"] = [REGION + z for z in zones]
        self.asg.create_auto_scaling_group(AutoScalingGroupName=name, MinSize=minimum, MaxSize=maximum, **fields)

    def target_group(self, name: str = "tg", delay: int = 60) -> str:
        self.write(lambda tx: ec2.ensure_defaults(tx, self.call()))
        vpc = self.store.view.all(Vpc)[0].id
        arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{name}/0123456789abcdef"
        group = TargetGroup(
            account=ACCOUNT,
            region=REGION,
            id=arn,
            target_group_name=name,
            resource_id=f"targetgroup/{name}/0123456789abcdef",
            protocol="HTTP",
            port=80,
            vpc_id=vpc,
            load_balancer_arns=[
                f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/lb/0123456789abcdef"
            ],
            attributes={"deregistration_delay.timeout_seconds": str(delay)},
        )
        self.write(lambda tx: tx.put(group))
        return arn

    def health_of(self, target: Target) -> TargetHealth:
        state = "unhealthy" if target.target_id in self.unhealthy else "healthy"
        return TargetHealth(
            account=target.account,
            region=target.region,
            id=target.id,
            target_group_arn=target.target_group_arn,
            state=state,
        )

    def set_health(self, instance_id: str, healthy: bool) -> None:
        """What the load balancer reports of an instance from now on."""
        (self.unhealthy.discard if healthy else self.unhealthy.add)(instance_id)
        for target in self.store.view.all(Target):
            if target.target_id == instance_id and not target.draining_since:
                health = self.health_of(target)
                self.write(lambda tx, h=health: tx.put(h))  # type: ignore[misc]  # mypy cannot infer a default's type

    def targets(self) -> dict[str, bool]:
        """Instance ids of all targets, and whether they are draining."""
        return {t.target_id: bool(t.draining_since) for t in self.store.view.all(Target)}

    def targets_of(self, instance_id: str) -> list[Target]:
        return [t for t in self.store.view.all(Target) if t.target_id == instance_id]

    def deregister(self, arn: str, instance_id: str) -> None:
        request = {"target_group_arn": arn, "targets": [{"id": instance_id}]}
        self.write(lambda tx: elbv2.deregister_targets(tx, self.call(), request))

    def alarm(
        self, name: str, policy_arn: str, threshold: float = 50.0, operator: str = "GreaterThanThreshold"
    ) -> None:
        request = {
            "alarm_name": name,
            "namespace": "N",
            "metric_name": "M",
            "statistic": "Average",
            "period": 60,
            "evaluation_periods": 1,
            "threshold": threshold,
            "comparison_operator": operator,
            "alarm_actions": [policy_arn],
        }
        self.write(lambda tx: cloudwatch.put_metric_alarm(tx, self.call(), request))

    def fire(self, name: str, *points: float, repeated: bool = False, newest: float = 0.0) -> None:
        """The alarm is in ALARM with these datapoints and invokes its actions; the group then settles.

        `newest`: when the newest datapoint's period began, if the alarm says so.
        """
        said: dict[str, Any] = {"recentDatapoints": list(points)}
        if newest:
            stamp = datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
            said["evaluatedDatapoints"] = [{"timestamp": stamp, "sampleCount": 1.0, "value": points[-1]}]
        data = json.dumps(said)

        def command(tx: Any) -> None:
            alarm = tx.get(Alarm, ACCOUNT, REGION, name)
            assert alarm is not None
            alarm = msgspec.structs.replace(alarm, state_value="ALARM", state_reason_data=data)
            tx.put(alarm)
            for arn in alarm.alarm_actions:
                cloudwatch.emit_action(tx, self.call(), alarm, "OK", arn, repeated=repeated)

        self.write(command)
        self.advance(0.01)

    def fire_together(self, points: dict[str, float]) -> None:
        """Several alarms are in ALARM in one pass of the evaluator, each with its newest datapoint."""

        def command(tx: Any) -> None:
            for name, point in points.items():
                alarm = tx.get(Alarm, ACCOUNT, REGION, name)
                data = json.dumps({"recentDatapoints": [point]})
                alarm = msgspec.structs.replace(alarm, state_value="ALARM", state_reason_data=data)
                tx.put(alarm)
                for arn in alarm.alarm_actions:
                    cloudwatch.emit_action(tx, self.call(), alarm, "OK", arn, repeated=True)

        self.write(command)
        self.advance(0.01)

    def calm(self, name: str) -> None:
        def command(tx: Any) -> None:
            alarm = tx.get(Alarm, ACCOUNT, REGION, name)
            tx.put(msgspec.structs.replace(alarm, state_value="OK"))

        self.write(command)

    def tracking_alarms(self, name: str = "g") -> tuple[str, str]:
        """Names of the first target tracking policy's high and low alarm."""
        alarms = self.store.view.all(Alarm, ACCOUNT, REGION)
        high = next(a.id for a in alarms if a.id.startswith(f"TargetTracking-{name}-AlarmHigh"))
        return high, next((a.id for a in alarms if a.id.startswith(f"TargetTracking-{name}-AlarmLow")), "")

    def refused(self, operation: str, **parameters: Any) -> tuple[str, str]:
        """(code, message) of a call that must fail."""
        with pytest.raises(ClientError) as caught:
            getattr(self.asg, operation)(**parameters)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    def is_still(self) -> bool:
        """Whether another turn of every group would change nothing."""
        for group in self.store.view.all(Group):
            tx = Transaction(self.store.view)  # type: ignore[arg-type]
            advance(tx, self.call(), group.id)
            if tx.changes:
                return False
        return True
