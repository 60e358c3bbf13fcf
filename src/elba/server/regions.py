"""Which regions exist: botocore's list of the standard partition."""

from __future__ import annotations

import functools

import botocore.session

PARTITION = "aws"


@functools.cache
def all_regions() -> frozenset[str]:
    """Every region of the standard partition that has EC2."""
    return frozenset(botocore.session.Session().get_available_regions("ec2", partition_name=PARTITION))
