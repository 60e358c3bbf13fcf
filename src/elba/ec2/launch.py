"""From a stored instance to what its provider is told. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from elba.compute.interface import InstanceSpec, Permanent
from elba.ec2.instance_types import find_type
from elba.ec2.resources import Image, Instance
from elba.store.interface import View

METADATA_PORT = 1338
"""Each instance's metadata service listens here on its own host address; 80, AWS's port, is the instance's."""


def metadata_endpoint(instance: Instance) -> str:
    """Where the instance finds its metadata service (AWS SDKs read it from AWS_EC2_METADATA_SERVICE_ENDPOINT)."""
    return f"http://{instance.host_address}:{METADATA_PORT}"


def build_spec(view: View, settings: Mapping[str, str], instance: Instance) -> InstanceSpec:
    """The instance as its type, image and user data make it now.

    Raises: Permanent (its image's files are gone, its type is unknown).
    """
    type_ = find_type(instance.instance_type)
    if type_ is None:
        raise Permanent(f"no instance type {instance.instance_type}")
    image = view.get(Image, instance.account, instance.region, instance.image_id) or next(
        (each for each in view.all(Image, region=instance.region) if each.id == instance.image_id), None
    )
    environment = {
        "AWS_REGION": instance.region,
        "AWS_DEFAULT_REGION": instance.region,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata_endpoint(instance),
        "ELBA_AVAILABILITY_ZONE": instance.availability_zone,
    }
    if endpoint := settings.get("endpoint"):
        environment["AWS_ENDPOINT_URL"] = endpoint
    return InstanceSpec(
        instance_id=instance.id,
        account=instance.account,
        region=instance.region,
        zone=instance.availability_zone,
        image_id=instance.image_id,
        instance_type=instance.instance_type,
        vcpus=type_.vcpus,
        memory_mib=type_.memory_mib,
        private_address=instance.private_ip_address,
        host_address=instance.host_address,
        user_data=base64.b64decode(instance.user_data),
        environment=environment,
        image_path=image.path if image else "",
    )
