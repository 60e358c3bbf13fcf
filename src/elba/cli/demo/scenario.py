"""What the demo does, step by step, with boto3 and nothing else against Elba."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from elba.cli import stress
from elba.cli.client import connect
from elba.cli.demo.load import Load
from elba.cli.demo.screen import Screen, Timeline
from elba.cli.demo.watch import View, Watcher
from elba.config import Home, Settings

NAME = "elba-demo"
MIN_SIZE, MAX_SIZE = 2, 6
TARGET_CPU_PERCENT = 50.0
STRESS_CPUS = 4
USER_DATA = """#!/bin/sh
# Runs once, at first boot. The image's own web app answers on port 80; this only gives it something to say.
echo "Elba demo" > "$HOME/greeting"
"""


class StepFailed(Exception):
    """A step of the demo did not happen; the message says which and what was seen instead."""


class Scenario:
    """The demo against a running Elba. Call `build`, then `run`; `watcher` and `load` tell what is seen."""

    def __init__(self, home: Home, settings: Settings, listener_port: int, timeline: Timeline, screen: Screen) -> None:
        self._home = home
        self._settings = settings
        self._port = listener_port
        self._timeline = timeline
        self._screen = screen
        self._clients = {
            service: connect(home, service) for service in ("ec2", "elbv2", "autoscaling", "cloudwatch", "ssm")
        }
        self.watcher: Watcher
        self.load: Load
        self.stressed: list[str] = []

    def now(self) -> float:
        """Elba's clock, in seconds since the epoch."""
        origin = self._settings.clock_origin
        return origin + (time.time() - origin) * self._settings.time_scale

    def _step(self, text: str) -> None:
        self._screen.step = text
        self._timeline.add(text)

    async def _wait(self, what: str, seconds: float, condition: Callable[[View], bool]) -> View:
        """Look until `condition` holds. Raises: StepFailed after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition(self.watcher.view):
            self._screen.tick()
            if time.monotonic() > deadline:
                view = self.watcher.view
                raise StepFailed(
                    f"{what}: not within {seconds:.0f} s. Desired {view.desired}; members "
                    f"{[(m.id, m.lifecycle, m.health, m.target, m.cpu) for m in view.members]}; alarms {view.alarms}; "
                    f"last activities {[(a.description, a.status) for a in view.activities[:3]]}"
                )
            await asyncio.sleep(0.1)
        self._screen.tick()
        return self.watcher.view

    async def build(self) -> None:
        """Create launch template, load balancer, target group, listener, group and policy."""
        await asyncio.to_thread(self._build)

    def _build(self) -> None:
        ec2, elbv2, autoscaling, ssm = (self._clients[n] for n in ("ec2", "elbv2", "autoscaling", "ssm"))
        image = ssm.get_parameter(Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
        subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
        ec2.create_launch_template(
            LaunchTemplateName=NAME,
            LaunchTemplateData={
                "ImageId": image["Parameter"]["Value"],
                "InstanceType": "t3.micro",
                "Monitoring": {"Enabled": True},
                "UserData": base64.b64encode(USER_DATA.encode()).decode(),
            },
        )
        self._timeline.add(f"launch template {NAME}: {image['Parameter']['Value']}, t3.micro, user data")
        balancer = elbv2.create_load_balancer(Name=NAME, Subnets=[each["SubnetId"] for each in subnets])
        self._balancer = balancer["LoadBalancers"][0]
        group = elbv2.create_target_group(
            Name=NAME,
            Protocol="HTTP",
            Port=80,
            VpcId=subnets[0]["VpcId"],
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=10,
            HealthCheckTimeoutSeconds=5,
            HealthyThresholdCount=2,
        )["TargetGroups"][0]
        self._target_group = group["TargetGroupArn"]
        elbv2.modify_target_group_attributes(
            TargetGroupArn=self._target_group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "60"}],
        )
        elbv2.create_listener(
            LoadBalancerArn=self._balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=self._port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self._target_group}],
        )
        self._timeline.add(
            f"Application Load Balancer over {len(subnets)} zones, target group with health checks, "
            f"listener :{self._port}"
        )
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=NAME,
            LaunchTemplate={"LaunchTemplateName": NAME, "Version": "$Latest"},
            MinSize=MIN_SIZE,
            MaxSize=MAX_SIZE,
            VPCZoneIdentifier=",".join(each["SubnetId"] for each in subnets),
            TargetGroupARNs=[self._target_group],
            HealthCheckType="ELB",
            HealthCheckGracePeriod=60,
            DefaultInstanceWarmup=60,
        )
        autoscaling.put_scaling_policy(
            AutoScalingGroupName=NAME,
            PolicyName="cpu-50",
            PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
                "TargetValue": TARGET_CPU_PERCENT,
            },
        )
        self._timeline.add(
            f"Auto Scaling group (min {MIN_SIZE}, max {MAX_SIZE}) with target tracking on average CPU "
            f"{TARGET_CPU_PERCENT:.0f} %"
        )
        elbv2.get_waiter("load_balancer_available").wait(
            LoadBalancerArns=[self._balancer["LoadBalancerArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        self.watcher = Watcher(self._clients, NAME, self._target_group, self.now)
        dns = f"{self._settings.host}:{self._settings.dns_port}"
        self.url = f"http://{self._balancer['DNSName']}:{self._port}/"
        self.load = Load(self.url, dns)

    async def run(self) -> None:
        """Traffic, load, scale-out, a killed instance, scale-in. Raises: StepFailed."""
        await self.watcher.start()
        self._screen.start(self.watcher, self.load)
        self._step(f"waiting for {MIN_SIZE} instances in service")
        await self._wait(f"{MIN_SIZE} instances in service", 40, lambda v: len(v.in_service) >= MIN_SIZE)
        self._step(f"traffic to {self.url}")
        await self.load.start()
        await self._wait("every instance in service gets requests", 20, self._all_served)

        first = [member.id for member in self.watcher.view.in_service]
        self._step(f"stress: {STRESS_CPUS} busy processes in each of {len(first)} instances")
        for instance_id in first:
            await stress.start(self._home, instance_id, STRESS_CPUS)
            self.stressed.append(instance_id)
        await self._wait("the high alarm fires", 45, lambda v: v.alarms.get("high") == "ALARM")
        self._step("alarm: average CPU is above the target")
        await self._wait("desired capacity rises", 20, lambda v: v.desired > MIN_SIZE)
        self._step(f"scale-out: desired capacity {MIN_SIZE} → {self.watcher.view.desired}")
        await self._wait("new instances pass health checks", 45, lambda v: len(v.in_service) > MIN_SIZE)
        await self._wait("new instances take traffic", 20, self._all_served)
        self._step(f"{len(self.watcher.view.in_service)} instances take traffic")

        victim = next(m.id for m in self.watcher.view.in_service if m.id not in self.stressed)
        self._step(f"kill -9 every process of {victim}")
        await asyncio.to_thread(kill, victim)
        await self._wait("the killed instance leaves the group", 30, lambda v: victim not in [m.id for m in v.members])
        await self._wait("a replacement is in service", 40, lambda v: len(v.in_service) >= v.desired)
        self._step(f"{victim} was replaced")

        for instance_id in self.stressed:
            await stress.stop(self._home, instance_id)
        self._step("stress stopped")
        await self._wait("the low alarm fires", 75, lambda v: v.alarms.get("low") == "ALARM")
        self._step("alarm: average CPU is well below the target")
        await self._wait(
            f"the group scales in to {MIN_SIZE}",
            75,
            lambda v: v.desired == MIN_SIZE and len(v.members) == MIN_SIZE and len(v.in_service) == MIN_SIZE,
        )
        self._step(f"scaled in to {MIN_SIZE}, each instance drained first")
        await self.load.stop()
        self._screen.step = "done"
        self._screen.tick()

    def _all_served(self, view: View) -> bool:
        served = self.load.window().by_instance
        return bool(view.in_service) and all(member.id in served for member in view.in_service)

    def causes(self) -> list[tuple[float, str, str]]:
        """Every scaling activity that was seen: Elba time, description, cause; oldest first."""
        seen = sorted(self.watcher.seen.values(), key=lambda each: each.start)
        return [(each.start, each.description, each.cause) for each in seen]

    def summary(self) -> dict[str, Any]:
        """The numbers of the run."""
        latencies = sorted(self.load.latencies)
        return {
            "requests": self.load.sent,
            "failed": len(self.load.failures),
            "p50_ms": round(latencies[len(latencies) // 2] * 1000, 2) if latencies else None,
            "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 2) if latencies else None,
            "instances_used": len(self.load.by_instance),
            "by_instance": dict(self.load.by_instance),
        }


def kill(instance_id: str) -> int:
    """SIGKILL every process of an instance, its supervisor first, as a crash of its machine would; how many."""
    victims: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(argument.endswith(f"/instances/{instance_id}") for argument in process.cmdline()):
                victims.insert(0, process)
            elif process.environ().get("ELBA_INSTANCE_ID") == instance_id:
                victims.append(process)
    for process in victims:
        with suppress(psutil.Error):
            os.kill(process.pid, signal.SIGKILL)
    return len(victims)
