"""How a member is shown."""

from __future__ import annotations

from elba.autoscaling.resources import Member
from elba.call import Answer
from elba.ec2 import zones


def shown_instance(member: Member) -> Answer:
    """An element of a group's Instances."""
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
        "launch_configuration_name": member.launch_configuration_name or None,
        "launch_template": template,
        "image_id": member.image_id or None,
        "protected_from_scale_in": member.protected_from_scale_in,
        "weighted_capacity": None if member.weighted_capacity is None else str(member.weighted_capacity),
    }
