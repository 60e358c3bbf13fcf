"""`elba status`: what runs, in one screen or one JSON object."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from elba.cli import locks
from elba.cli.client import ask, ask_all, connect, running
from elba.config import Home


def gather(home: Home, region: str | None = None) -> dict[str, Any]:
    """The state of the Elba that runs from `home`, by its own API. Raises: UserError if it does not answer."""
    settings = running(home)
    balancing = connect(home, "elbv2", region)
    scaling = connect(home, "autoscaling", region)
    compute = connect(home, "ec2", region)
    watch = connect(home, "cloudwatch", region)
    load_balancers = ask_all(balancing, "describe_load_balancers")["LoadBalancers"]
    groups = ask_all(scaling, "describe_auto_scaling_groups")["AutoScalingGroups"]
    reservations = ask_all(compute, "describe_instances")["Reservations"]
    alarms = ask_all(watch, "describe_alarms")["MetricAlarms"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    return {
        "endpoint": settings.endpoint,
        "data_directory": str(home.directory),
        "process": locks.holder(home.lock_file),
        "region": region or settings.regions[0],
        "time_scale": settings.time_scale,
        "dns": f"{settings.host}:{settings.dns_port}",
        "load_balancers": [
            {
                "name": each["LoadBalancerName"],
                "type": each["Type"],
                "state": each["State"]["Code"],
                "dns_name": each["DNSName"],
                "zones": [zone["ZoneName"] for zone in each["AvailabilityZones"]],
                "target_groups": _target_groups(balancing, each["LoadBalancerArn"]),
            }
            for each in load_balancers
        ],
        "groups": [
            {
                "name": each["AutoScalingGroupName"],
                "min": each["MinSize"],
                "max": each["MaxSize"],
                "desired": each["DesiredCapacity"],
                "in_service": sum(i["LifecycleState"] == "InService" for i in each["Instances"]),
                "unhealthy": sum(i["HealthStatus"] != "Healthy" for i in each["Instances"]),
            }
            for each in groups
        ],
        "instances": [
            {
                "id": each["InstanceId"],
                "type": each["InstanceType"],
                "state": each["State"]["Name"],
                "zone": each["Placement"]["AvailabilityZone"],
                "private_ip": each.get("PrivateIpAddress"),
                "public_ip": each.get("PublicIpAddress"),
            }
            for each in instances
        ],
        "alarms": [{"name": each["AlarmName"], "state": each["StateValue"]} for each in alarms],
    }


def _target_groups(balancing: Any, load_balancer_arn: str) -> list[dict[str, Any]]:
    found = ask(balancing, "describe_target_groups", LoadBalancerArn=load_balancer_arn)["TargetGroups"]
    groups = []
    for each in found:
        health = ask(balancing, "describe_target_health", TargetGroupArn=each["TargetGroupArn"])
        states = [target["TargetHealth"]["State"] for target in health["TargetHealthDescriptions"]]
        groups.append(
            {
                "name": each["TargetGroupName"],
                "targets": len(states),
                "states": {state: states.count(state) for state in sorted(set(states))},
            }
        )
    return groups


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, style=None, header_style="dim", overflow="fold")  # whole: names are there to be copied
    for row in rows:
        table.add_row(*row)
    return table


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option("--region", help="Another region than the first one.")
@click.pass_obj
def command(home: Home, as_json: bool, region: str | None) -> None:
    """Show load balancers, groups, instances and alarms."""
    found = gather(home, region)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    console.print(
        f"[bold]Elba[/] at {found['endpoint']} · {found['region']} · DNS {found['dns']} · "
        f"process {found['process'] or 'unknown'} · data in {found['data_directory']}"
        + (f" · time ×{found['time_scale']:g}" if found["time_scale"] != 1 else "")
    )
    console.print()
    console.print(
        _table(
            "Load balancers",
            ["name", "type", "state", "zones", "target groups", "DNS name"],
            [
                [
                    each["name"],
                    each["type"],
                    each["state"],
                    " ".join(zone[-1] for zone in each["zones"]),
                    "; ".join(
                        f"{group['name']}: "
                        + (", ".join(f"{n} {state}" for state, n in group["states"].items()) or "no targets")
                        for group in each["target_groups"]
                    ),
                    each["dns_name"],
                ]
                for each in found["load_balancers"]
            ],
        )
    )
    console.print()
    console.print(
        _table(
            "Auto Scaling groups",
            ["name", "min", "desired", "max", "in service", "unhealthy"],
            [
                [str(each[name]) for name in ("name", "min", "desired", "max", "in_service", "unhealthy")]
                for each in found["groups"]
            ],
        )
    )
    console.print()
    console.print(
        _table(
            "Instances",
            ["id", "type", "state", "zone", "private", "public"],
            [
                [str(each[name] or "–") for name in ("id", "type", "state", "zone", "private_ip", "public_ip")]
                for each in found["instances"]
            ],
        )
    )
    console.print()
    console.print(_table("Alarms", ["name", "state"], [[each["name"], each["state"]] for each in found["alarms"]]))
