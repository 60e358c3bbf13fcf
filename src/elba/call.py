"""Who asks, where and when: what a command may know besides the store's view and the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elba.clock import Timestamp
from elba.ids import IdSource

Request = Mapping[str, Any]
"""A parsed request: the model's member names in snake_case by botocore's `xform_name`; absent = not sent.

Blobs are `bytes`, timestamps are `float` (epoch seconds), structures are dicts, lists are lists.
"""

Answer = dict[str, Any]
"""An answer in the same form; `None` values are left out by the serializer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation of a command, by an API client or by a reconciler on its own behalf.

    `cause` names why (a request id, an alarm, a schedule) and is written beside each change.
    """

    account: str
    region: str
    now: Timestamp
    ids: IdSource
    request_id: str = ""
    caller_arn: str = ""
    caller_id: str = ""
    cause: str = ""
    partition: str = field(default="aws")

    def arn(self, service: str, resource: str, *, global_: bool = False) -> str:
        """`arn:aws:<service>:<region>:<account>:<resource>`; a global service has no region in it."""
        region = "" if global_ else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"
