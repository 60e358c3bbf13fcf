"""Reads what trust stores are told to read from buckets."""

from __future__ import annotations

from elba.buckets import BadObjectName, Buckets, ObjectTooLarge
from elba.elbv2.commands.lookup import validation_error


async def read_object(buckets: Buckets, bucket: str, key: str, version: str | None, most_bytes: int) -> bytes | None:
    """The object, or None if there is none. Local buckets keep one version of an object, "null".

    Raises: ValidationError if it is larger than `most_bytes`.
    """
    if version not in (None, "", "null"):
        return None
    try:
        return await buckets.read(bucket, key, most_bytes)
    except (BadObjectName, OSError):
        return None
    except ObjectTooLarge as error:
        raise validation_error(str(error)) from None
