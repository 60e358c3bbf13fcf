"""Measures running instances each minute, publishes AWS/EC2's metrics and makes the status checks.

A minute's values are differences between two readings of the provider's counters, the second taken as the minute
ends; the timestamp is the minute's (or the five minutes') start. Source: EC2 user guide, "List the available
CloudWatch metrics for your instances"; ec2-iam spec §6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from elba.autoscaling.resources import Group, Member
from elba.clock import Clock
from elba.compute.interface import ObservedInstance, Power, Sample
from elba.datapoints import Datapoint, Dimensions, dimensions
from elba.ec2.credits import account, at_launch
from elba.ec2.instance_types import find_type
from elba.ec2.queries.instances import volumes_of
from elba.ec2.resources import CpuCredits, Instance
from elba.parts import Parts
from elba.store.interface import Transaction, View

NAMESPACE = "AWS/EC2"
MINUTE_SECONDS = 60.0
BASIC_MINUTES = 5
FAILURES_TO_IMPAIR = 2
"""Status checks in a row that must fail before an instance is impaired."""

UNITS = {
    "CPUUtilization": "Percent",
    "NetworkIn": "Bytes",
    "NetworkOut": "Bytes",
    "DiskReadBytes": "Bytes",
    "DiskWriteBytes": "Bytes",
    "EBSReadBytes": "Bytes",
    "EBSWriteBytes": "Bytes",
    "DiskReadOps": "Count",
    "DiskWriteOps": "Count",
    "EBSReadOps": "Count",
    "EBSWriteOps": "Count",
    "NetworkPacketsIn": "Count",
    "NetworkPacketsOut": "Count",
    "CPUCreditUsage": "Count",
    "CPUCreditBalance": "Count",
    "CPUSurplusCreditBalance": "Count",
    "CPUSurplusCreditsCharged": "Count",
    "MetadataNoToken": "Count",
    "StatusCheckFailed": "Count",
    "StatusCheckFailed_Instance": "Count",
    "StatusCheckFailed_System": "Count",
    "StatusCheckFailed_AttachedEBS": "Count",
}


COUNTERS = (
    "network_in_bytes",
    "network_out_bytes",
    "network_packets_in",
    "network_packets_out",
    "disk_read_bytes",
    "disk_write_bytes",
    "disk_read_ops",
    "disk_write_ops",
)
"""Of a sample, and under the same names of a usage."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance used between two readings. `seconds` are the world's; `cpu_percent` is of its vCPUs."""

    seconds: float
    cpu_percent: float
    cpu_seconds: float
    network_in_bytes: int = 0
    network_out_bytes: int = 0
    network_packets_in: int = 0
    network_packets_out: int = 0
    disk_read_bytes: int = 0
    disk_write_bytes: int = 0
    disk_read_ops: int = 0
    disk_write_ops: int = 0


def usage_between(earlier: Sample, later: Sample) -> Usage | None:
    """The difference; None if the counters began anew in between (it has rebooted) or no time has passed."""
    seconds = later.time - earlier.time
    if seconds <= 0 or later.cpu_seconds < earlier.cpu_seconds:
        return None
    cpu = later.cpu_seconds - earlier.cpu_seconds
    wanted = cpu + max(0.0, later.cpu_wait_seconds - earlier.cpu_wait_seconds)
    return Usage(
        seconds=seconds,
        cpu_seconds=cpu,
        # Counters are read one after the other, and a limit is kept per tenth of a second: a little over is no news.
        cpu_percent=min(100.0, 100.0 * wanted / (seconds * later.vcpus)),
        **{name: max(0, getattr(later, name) - getattr(earlier, name)) for name in COUNTERS},
    )


def added(usages: Sequence[Usage]) -> Usage:
    """Several minutes as one: sums, and the mean CPU use weighted by time."""
    seconds = sum(u.seconds for u in usages)
    return Usage(
        seconds=seconds,
        cpu_percent=sum(u.cpu_percent * u.seconds for u in usages) / seconds,
        cpu_seconds=sum(u.cpu_seconds for u in usages),
        **{name: sum(getattr(u, name) for u in usages) for name in COUNTERS},
    )


def metrics_of(instance: Instance, usage: Usage) -> dict[str, float]:
    """The values by metric name. Disk traffic is shown as the root volume's (EBS…, Nitro types only) and as Disk…,
    which AWS keeps for instance stores: an instance's directory is both."""
    values: dict[str, float] = {
        "CPUUtilization": usage.cpu_percent,
        "NetworkIn": usage.network_in_bytes,
        "NetworkOut": usage.network_out_bytes,
        "DiskReadBytes": usage.disk_read_bytes,
        "DiskWriteBytes": usage.disk_write_bytes,
        "DiskReadOps": usage.disk_read_ops,
        "DiskWriteOps": usage.disk_write_ops,
    }
    if not instance.instance_type.startswith("t2."):
        values["EBSReadBytes"] = usage.disk_read_bytes
        values["EBSWriteBytes"] = usage.disk_write_bytes
        values["EBSReadOps"] = usage.disk_read_ops
        values["EBSWriteOps"] = usage.disk_write_ops
    return values


def five_minutes(instance: Instance, usage: Usage, credits: CpuCredits | None) -> dict[str, float]:
    """What is published each five minutes: all with basic monitoring, and in any case packets, and CPU credits (one is
    a vCPU at 100 % for a minute) if the type has them; of surplus credits if they are unlimited."""
    values = {} if instance.monitoring else metrics_of(instance, usage)
    values["NetworkPacketsIn"] = usage.network_packets_in
    values["NetworkPacketsOut"] = usage.network_packets_out
    if credits is not None:
        values["CPUCreditUsage"] = credits.used
        values["CPUCreditBalance"] = credits.balance
        if instance.cpu_credits == "unlimited":
            values["CPUSurplusCreditBalance"] = credits.surplus
            values["CPUSurplusCreditsCharged"] = credits.charged
    return values


def group_of(view: View, instance: Instance, now: float) -> str | None:
    """The Auto Scaling group whose aggregate the instance counts in: InService there, and past the warmup if the
    group has a default one."""
    member = view.get(Member, instance.account, instance.region, instance.id)
    if member is None or member.lifecycle_state != "InService":
        return None
    group = view.get(Group, instance.account, instance.region, member.group_name)
    if group is None:
        return None
    warm_at = member.in_service_at + (group.default_instance_warmup or 0)
    return group.id if now >= warm_at else None


@dataclass(slots=True)
class _Series:
    """Values of many instances for one dimension set: a statistic set with its parts."""

    account: str
    region: str
    dimensions: Dimensions
    values: dict[str, list[float]]


def datapoints_of(
    view: View, measured: Mapping[str, Mapping[str, float]], timestamp: float, now: float
) -> list[Datapoint]:
    """Datapoints of one moment: per instance, per group, and (detailed monitoring) per image, type and in all.

    `measured` maps instance ids to values by metric name. An aggregate is one datapoint with a value per instance.
    """
    series: dict[tuple[str, str, Dimensions], _Series] = {}

    def add(instance: Instance, pairs: Mapping[str, str], values: Mapping[str, float]) -> None:
        key = (instance.account, instance.region, dimensions(pairs))
        into = series.setdefault(key, _Series(*key, {}))
        for name, value in values.items():
            into.values.setdefault(name, []).append(value)

    for instance in view.all(Instance):
        values = measured.get(instance.id)
        if values is None:
            continue
        add(instance, {"InstanceId": instance.id}, values)
        if group := group_of(view, instance, now):
            add(instance, {"AutoScalingGroupName": group}, values)
        if instance.monitoring:
            add(instance, {"ImageId": instance.image_id}, values)
            add(instance, {"InstanceType": instance.instance_type}, values)
            add(instance, {}, values)
    return [
        Datapoint(
            account=each.account,
            region=each.region,
            namespace=NAMESPACE,
            metric_name=name,
            timestamp=timestamp,
            dimensions=each.dimensions,
            unit=UNITS[name],
            values=tuple(values),
            counts=(1.0,) * len(values),
        )
        for each in series.values()
        for name, values in each.values.items()
    ]


class StatusChecks:
    """Each instance's run of failed checks. What it forgets at a restart costs a minute."""

    def __init__(self) -> None:
        self._failed: dict[tuple[str, str], int] = {}

    def check(self, instance: Instance, observed: ObservedInstance | None) -> tuple[str, str]:
        """The instance's and the system's status after one more check: each ok, initializing or impaired."""
        reached = observed is not None and observed.power is Power.RUNNING and observed.reachable
        carried = observed is None or not observed.host_failed
        return (
            self._judge((instance.id, "instance"), reached, instance.instance_status),
            self._judge((instance.id, "system"), carried, instance.system_status),
        )

    def _judge(self, key: tuple[str, str], passed: bool, status: str) -> str:
        if passed:
            self._failed.pop(key, None)
            return "ok"
        failed = self._failed[key] = self._failed.get(key, 0) + 1
        return "impaired" if failed >= FAILURES_TO_IMPAIR else status

    def forget_all_but(self, instance_ids: Iterable[str]) -> None:
        keep = set(instance_ids)
        self._failed = {key: count for key, count in self._failed.items() if key[0] in keep}


class InstanceSampler:
    """Once a minute of clock time, on the minute: measure, publish, check."""

    name = "ec2.instance_sampler"

    def __init__(self, parts: Parts, requests_without_token: Callable[[], Mapping[str, int]] | None = None) -> None:
        """`requests_without_token` answers (and forgets) how often each instance used IMDSv1 since the last call."""
        self._store = parts.store
        self._clock: Clock = parts.clock
        self._provider = parts.provider
        self._metrics = parts.metrics
        self._requests_without_token = requests_without_token
        self._before: dict[str, Sample] = {}
        self._minutes: dict[str, list[Usage]] = {}
        self._checks = StatusChecks()

    async def run(self) -> None:
        await self._read()
        while True:
            now = self._clock.now()
            boundary = (math.floor(now / MINUTE_SECONDS) + 1) * MINUTE_SECONDS
            await self._clock.sleep(boundary - now)
            if self._clock.now() < boundary:
                continue  # a timer may fire a moment early
            await self.measure(boundary - MINUTE_SECONDS)

    async def measure(self, minute: float) -> None:
        """Publish the minute that began at `minute` and has just ended."""
        usages = await self._read()
        view, now = self._store.view, self._clock.now()
        observed = await self._provider.observe()
        running = {i.id: i for i in view.all(Instance) if i.state == "running"}

        detailed = {
            id_: metrics_of(running[id_], u) for id_, u in usages.items() if id_ in running and running[id_].monitoring
        }
        self._metrics.put(datapoints_of(view, detailed, minute, now))

        for id_, usage in usages.items():
            self._minutes.setdefault(id_, []).append(usage)
        period = BASIC_MINUTES * MINUTE_SECONDS
        if (minute + MINUTE_SECONDS) % period == 0:
            together = {id_: added(u) for id_, u in self._minutes.items() if id_ in running}
            credits = await self._account(running, together)
            basic = {id_: five_minutes(running[id_], usage, credits.get(id_)) for id_, usage in together.items()}
            self._metrics.put(datapoints_of(view, basic, minute + MINUTE_SECONDS - period, now))
            self._minutes.clear()

        without_token = self._requests_without_token() if self._requests_without_token else {}
        checked = {
            id_: _status_metrics(observed.get(id_), stalled=any(v.impaired_since for v in volumes_of(view, instance)))
            | {"MetadataNoToken": float(without_token.get(id_, 0))}
            for id_, instance in running.items()
        }
        self._metrics.put(datapoints_of(view, checked, minute, now))
        await self._check(running.values(), observed)

    async def _account(self, running: Mapping[str, Instance], usages: Mapping[str, Usage]) -> Mapping[str, CpuCredits]:
        """Each burstable instance's credits after five minutes; those of instances that are gone are forgotten."""
        view = self._store.view
        found: dict[str, CpuCredits] = {}
        for id_, usage in usages.items():
            instance = running[id_]
            type_ = find_type(instance.instance_type)
            if type_ is None or not type_.burstable:
                continue
            owner = instance.account, instance.region
            before = view.get(CpuCredits, *owner, id_) or CpuCredits(
                account=instance.account,
                region=instance.region,
                id=id_,
                balance=at_launch(instance.instance_type, type_.vcpus),
            )
            found[id_] = account(
                before,
                instance.instance_type,
                usage.seconds * self._clock.scale,
                usage.cpu_seconds * self._clock.scale / 60,
                unlimited=instance.cpu_credits == "unlimited",
            )
        gone = [c for c in view.all(CpuCredits) if view.get(Instance, c.account, c.region, c.id) is None]
        if found or gone:

            def command(tx: Transaction) -> None:
                for credits in found.values():
                    tx.put(credits)
                for credits in gone:
                    tx.delete(credits)

            await self._store.write(command, "ec2.cpu_credits")
        return found

    async def _read(self) -> dict[str, Usage]:
        samples = {sample.instance_id: sample for sample in await self._provider.sample()}
        pairs = ((id_, self._before.get(id_), sample) for id_, sample in samples.items())
        found = {id_: usage_between(before, sample) for id_, before, sample in pairs if before is not None}
        self._before = samples
        return {id_: usage for id_, usage in found.items() if usage is not None}

    async def _check(self, running: Iterable[Instance], observed: Mapping[str, ObservedInstance]) -> None:
        instances = list(running)
        self._checks.forget_all_but(i.id for i in instances)
        changed = [
            (i, found)
            for i in instances
            if (found := self._checks.check(i, observed.get(i.id))) != (i.instance_status, i.system_status)
        ]
        if not changed:
            return

        def command(tx: Transaction) -> None:
            for seen, (instance_status, system_status) in changed:
                current = tx.get(Instance, seen.account, seen.region, seen.id)
                if current is not None and current.state == "running":
                    tx.put(replace(current, instance_status=instance_status, system_status=system_status))

        await self._store.write(command, "ec2.status_checks")


def _status_metrics(observed: ObservedInstance | None, *, stalled: bool = False) -> dict[str, float]:
    """`stalled`: one of its volumes is impaired."""
    failed = 0.0 if observed is not None and observed.reachable else 1.0
    host_failed = 1.0 if observed is not None and observed.host_failed else 0.0
    return {
        "StatusCheckFailed": max(failed, host_failed, float(stalled)),
        "StatusCheckFailed_Instance": failed,
        "StatusCheckFailed_System": host_failed,
        "StatusCheckFailed_AttachedEBS": float(stalled),
    }
