"""Sees what any client can see: group, targets, alarms, activities, CPU, through boto3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Member:
    id: str
    zone: str
    lifecycle: str
    health: str
    target: str
    cpu: float | None


@dataclass(frozen=True, slots=True)
class Activity:
    id: str
    description: str
    cause: str
    status: str
    start: float


@dataclass(frozen=True, slots=True)
class View:
    """One look at the group. CPU is AWS/EC2 CPUUtilization's last minute, in percent."""

    desired: int = 0
    members: tuple[Member, ...] = ()
    alarms: dict[str, str] = field(default_factory=dict)
    activities: tuple[Activity, ...] = ()

    @property
    def in_service(self) -> tuple[Member, ...]:
        """Members that are InService and whose target is healthy: those that take traffic."""
        return tuple(m for m in self.members if m.lifecycle == "InService" and m.target == "healthy")


class Watcher:
    """Looks again and again; `view` is the last look."""

    def __init__(self, clients: dict[str, Any], group: str, target_group: str, now: Callable[[], float]) -> None:
        self._clients = clients
        self._group = group
        self._target_group = target_group
        self._now = now
        self._task: asyncio.Task[None] | None = None
        self.view = View()
        self.seen: dict[str, Activity] = {}

    async def start(self) -> None:
        self.view = await asyncio.to_thread(self._look)
        self._task = asyncio.create_task(self._run(), name="demo watcher")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> View:
        """Look now."""
        self.view = await asyncio.to_thread(self._look)
        return self.view

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> View:
        scaling, balancing, watch = (self._clients[n] for n in ("autoscaling", "elbv2", "cloudwatch"))
        group = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self._group])["AutoScalingGroups"][0]
        health = balancing.describe_target_health(TargetGroupArn=self._target_group)["TargetHealthDescriptions"]
        targets = {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in health}
        ids = [each["InstanceId"] for each in group["Instances"]]
        cpu = self._cpu(watch, ids)
        alarms = watch.describe_alarms(AlarmNamePrefix=f"TargetTracking-{self._group}-")["MetricAlarms"]
        found = scaling.describe_scaling_activities(AutoScalingGroupName=self._group)["Activities"]
        activities = tuple(
            Activity(
                each["ActivityId"],
                each["Description"],
                each["Cause"],
                each["StatusCode"],
                each["StartTime"].timestamp(),
            )
            for each in found
        )
        self.seen.update({each.id: each for each in activities})
        return View(
            desired=group["DesiredCapacity"],
            members=tuple(
                Member(
                    each["InstanceId"],
                    each["AvailabilityZone"],
                    each["LifecycleState"],
                    each["HealthStatus"],
                    targets.get(each["InstanceId"], "–"),
                    cpu.get(each["InstanceId"]),
                )
                for each in group["Instances"]
            ),
            alarms={"high" if "AlarmHigh" in each["AlarmName"] else "low": each["StateValue"] for each in alarms},
            activities=activities,
        )

    def _cpu(self, watch: Any, instance_ids: list[str]) -> dict[str, float]:
        if not instance_ids:
            return {}
        now = self._now()
        queries = [
            {
                "Id": f"m{n}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/EC2",
                        "MetricName": "CPUUtilization",
                        "Dimensions": [{"Name": "InstanceId", "Value": instance_id}],
                    },
                    "Period": 60,
                    "Stat": "Average",
                },
            }
            for n, instance_id in enumerate(instance_ids)
        ]
        answer = watch.get_metric_data(MetricDataQueries=queries, StartTime=now - 300, EndTime=now + 120)
        by_id = {each["Id"]: each["Values"] for each in answer["MetricDataResults"]}
        return {instance_id: by_id[f"m{n}"][0] for n, instance_id in enumerate(instance_ids) if by_id.get(f"m{n}")}
