"""Launch templates as the API shows them."""

from __future__ import annotations

from elba.call import Answer
from elba.ec2.resources import LaunchTemplate, LaunchTemplateVersion
from elba.ec2.tagging import tag_list


def render_template(template: LaunchTemplate) -> Answer:
    return {
        "launch_template_id": template.id,
        "launch_template_name": template.launch_template_name,
        "create_time": template.create_time,
        "created_by": template.created_by,
        "default_version_number": template.default_version_number,
        "latest_version_number": template.latest_version_number,
        "tags": tag_list(template.tags),
    }


def render_version(template: LaunchTemplate, version: LaunchTemplateVersion) -> Answer:
    return {
        "launch_template_id": template.id,
        "launch_template_name": template.launch_template_name,
        "version_number": version.version_number,
        "version_description": version.version_description,
        "create_time": version.create_time,
        "created_by": version.created_by,
        "default_version": version.version_number == template.default_version_number,
        "launch_template_data": dict(version.data),
    }
