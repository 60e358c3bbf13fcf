"""What every stored resource has in common: who owns it, what names it, and under what it hangs."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import msgspec


class Key(NamedTuple):
    """Names one resource in the store. IAM and other global services use region `aws-global`."""

    kind: str
    account: str
    region: str
    id: str


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A stored, typed, immutable value; a change is a new value (`msgspec.structs.replace`).

    `KIND` is `<service>.<noun>` and names the resource in the store, the log and metrics.
    `id` identifies it among its kind in (account, region): an ARN, a name or an EC2 id, whichever
    AWS uses to look it up. Lists and dicts inside are never mutated.
    """

    KIND: ClassVar[str] = ""

    account: str
    region: str
    id: str

    @property
    def key(self) -> Key:
        return Key(self.KIND, self.account, self.region, self.id)

    def parent_id(self) -> str | None:
        """`id` of the resource this one belongs to (a target's group), for `View.children`."""
        return None
