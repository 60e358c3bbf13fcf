"""Operations of instances, launch templates, images, key pairs, types and places."""

from __future__ import annotations

import asyncio

from elba.call import Answer, Request
from elba.compute.interface import NotFound
from elba.context import Context
from elba.ec2.commands import (
    attributes,
    images,
    key_pairs,
    launch_templates,
    launches,
    lifecycle,
    placement_groups,
    profile_associations,
    root_volumes,
    tags,
)
from elba.ec2.commands import spot as spot_requests
from elba.ec2.faults import require
from elba.ec2.key_material import generate
from elba.ec2.operations.making import mutating, reading
from elba.ec2.queries import describe_instances as instances
from elba.ec2.queries import images as show_images
from elba.ec2.queries import key_pairs as show_key_pairs
from elba.ec2.queries import launch_templates as show_launch_templates
from elba.ec2.queries import placement_groups as show_placement_groups
from elba.ec2.queries import places, spot, storage, types
from elba.ec2.queries import profile_associations as show_profile_associations
from elba.ec2.queries import tags as show_tags
from elba.ec2.resources import Instance
from elba.errors import ApiError

run_instances = mutating(launches.run_instances)
terminate_instances = mutating(lifecycle.terminate_instances)
stop_instances = mutating(lifecycle.stop_instances)
start_instances = mutating(lifecycle.start_instances)
reboot_instances = mutating(lifecycle.reboot_instances)
modify_instance_attribute = mutating(attributes.modify_instance_attribute)
reset_instance_attribute = mutating(attributes.reset_instance_attribute)
modify_instance_metadata_options = mutating(attributes.modify_instance_metadata_options)
modify_instance_credit_specification = mutating(attributes.modify_instance_credit_specification)
monitor_instances = mutating(attributes.monitor_instances)
unmonitor_instances = mutating(attributes.unmonitor_instances)
associate_iam_instance_profile = mutating(profile_associations.associate_iam_instance_profile)
disassociate_iam_instance_profile = mutating(profile_associations.disassociate_iam_instance_profile)
replace_iam_instance_profile_association = mutating(profile_associations.replace_iam_instance_profile_association)
describe_iam_instance_profile_associations = reading(
    show_profile_associations.describe_iam_instance_profile_associations
)

describe_instances = reading(instances.describe_instances)
describe_instance_status = reading(instances.describe_instance_status)
describe_instance_attribute = reading(instances.describe_instance_attribute)
describe_instance_credit_specifications = reading(instances.describe_instance_credit_specifications)
describe_instance_types = reading(types.describe_instance_types)
describe_instance_type_offerings = reading(types.describe_instance_type_offerings)
cancel_spot_instance_requests = mutating(spot_requests.cancel_spot_instance_requests)
describe_spot_instance_requests = reading(spot.describe_spot_instance_requests)
describe_spot_price_history = reading(spot.describe_spot_price_history)

create_launch_template = mutating(launch_templates.create_launch_template)
create_launch_template_version = mutating(launch_templates.create_launch_template_version)
modify_launch_template = mutating(launch_templates.modify_launch_template)
delete_launch_template = mutating(launch_templates.delete_launch_template)
delete_launch_template_versions = mutating(launch_templates.delete_launch_template_versions)
describe_launch_templates = reading(show_launch_templates.describe_launch_templates)
describe_launch_template_versions = reading(show_launch_templates.describe_launch_template_versions)
get_launch_template_data = reading(instances.get_launch_template_data)

create_image = mutating(images.create_image)
copy_image = mutating(images.copy_image)
deregister_image = mutating(images.deregister_image)
modify_image_attribute = mutating(images.modify_image_attribute)
delete_snapshot = mutating(images.delete_snapshot)
create_replace_root_volume_task = mutating(root_volumes.create_replace_root_volume_task)
describe_replace_root_volume_tasks = reading(storage.describe_replace_root_volume_tasks)
describe_images = reading(show_images.describe_images)
describe_image_attribute = reading(show_images.describe_image_attribute)
describe_volumes = reading(storage.describe_volumes)
describe_volume_status = reading(storage.describe_volume_status)
describe_snapshots = reading(storage.describe_snapshots)

import_key_pair = mutating(key_pairs.import_key_pair)
delete_key_pair = mutating(key_pairs.delete_key_pair)
describe_key_pairs = reading(show_key_pairs.describe_key_pairs)

create_placement_group = mutating(placement_groups.create_placement_group)
delete_placement_group = mutating(placement_groups.delete_placement_group)
describe_placement_groups = reading(show_placement_groups.describe_placement_groups)

create_tags = mutating(tags.create_tags)
delete_tags = mutating(tags.delete_tags)
describe_tags = reading(show_tags.describe_tags)

describe_availability_zones = reading(places.describe_availability_zones)
describe_account_attributes = reading(places.describe_account_attributes)


async def describe_regions(ctx: Context, request: Request) -> Answer:
    """The regions that this Elba serves."""
    served = tuple(r for r in ctx.ports.settings.get("regions", "").split(",") if r)
    if not served:
        return places.describe_regions(ctx.view, ctx.call, request)
    return places.describe_regions(ctx.view, ctx.call, request, served)


async def create_key_pair(ctx: Context, request: Request) -> Answer:
    """Makes the key here, beside the event loop: an RSA key takes tens of milliseconds."""
    key_pairs.check_format(request)
    material = await asyncio.to_thread(generate, request.get("key_type") or "rsa")
    return await ctx.write(key_pairs.create_key_pair, {**request, "material": material})


async def get_console_output(ctx: Context, request: Request) -> Answer:
    """The last 64 KiB of what the instance printed; none of one that was never launched."""
    instance = require(ctx.view, ctx.call, Instance, request["instance_id"])
    try:
        output = await ctx.ports.console.console_output(instance.id)
    except NotFound:
        output = b""
    return instances.console_answer(instance, output, ctx.call.now)


async def get_instance_uefi_data(ctx: Context, request: Request) -> Answer:
    """Elba's instances have no UEFI variables. Raises: ApiError UnsupportedOperation, Invalid….NotFound."""
    require(ctx.view, ctx.call, Instance, request["instance_id"])
    raise ApiError("UnsupportedOperation", "The instance does not have UEFI variables.")
