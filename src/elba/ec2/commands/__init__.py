"""EC2's commands: pure functions of the store's view and a request. Other services use those named here."""

from __future__ import annotations

from elba.ec2.commands.launch_templates import merge_launch_template, resolve_launch_template
from elba.ec2.commands.launches import launch, run_instances
from elba.ec2.commands.lifecycle import (
    forget_terminated,
    reboot,
    record_terminated,
    recover,
    start,
    stop,
    terminate,
)
from elba.ec2.commands.root_volumes import replace_root
from elba.ec2.defaults import ensure_defaults

__all__ = [
    "ensure_defaults",
    "forget_terminated",
    "launch",
    "merge_launch_template",
    "reboot",
    "record_terminated",
    "recover",
    "replace_root",
    "resolve_launch_template",
    "run_instances",
    "start",
    "stop",
    "terminate",
]
