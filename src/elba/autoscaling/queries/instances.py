"""How a member is shown."""

from __future__ import annotations

from elba.autoscaling.resources import LaunchConfiguration, Member
from elba.call import Answer
from elba.ec2 import zones
from elba.store.interface import View


def shown_instance(view: View, member: Member) -> Answer:
    """An element of a group's Instances; a launch configuration that has been deleted is not named any more."""
    configuration = view.get(LaunchConfiguration, member.account, member.region, member.launch_configuration_name)
    launched_from = configuration is not None and configuration.created_time <= member.launched_at
    template = None
    if member.launch_template_id:
        template = {
            "launch_template_id": member.launch_template_id,
            "launch_template_name": member.launch_template_name,
            "version": str(member.launch_template_version),
        }
    return {
        "instance_id": member.id,
        "instance_type": member.instance_type,
        "availability_zone": member.availability_zone,
        "availability_zone_id": zones.zone_id(member.availability_zone),
        "lifecycle_state": member.lifecycle_state,
        "health_status": member.health_status,
        "launch_configuration_name": member.launch_configuration_name if launched_from else None,
        "launch_template": template,
        "image_id": member.image_id or None,
        "protected_from_scale_in": member.protected_from_scale_in,
        "weighted_capacity": None if member.weighted_capacity is None else str(member.weighted_capacity),
    }
