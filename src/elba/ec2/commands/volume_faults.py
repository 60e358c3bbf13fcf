"""Volumes whose I/O an operator has stalled: their status is impaired until they are mended.

Source: EBS user guide, "Amazon EBS volume status checks", "Testing resiliency: stalled I/O".
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from elba.call import Call
from elba.ec2.faults import require, require_all
from elba.ec2.queries.instances import volumes_of
from elba.ec2.resources import Instance, Volume
from elba.store.interface import Transaction, View


def impair_volumes(tx: Transaction, call: Call, ids: Iterable[str]) -> list[Volume]:
    """Stall the volumes, and all those of the instances, that `ids` name. Raises: ApiError Invalid….NotFound."""
    stalled = []
    for volume in _named(tx, call, ids):
        if not volume.impaired_since:
            volume = replace(volume, impaired_since=call.now)
            tx.put(volume)
        stalled.append(volume)
    return stalled


def mend_volumes(tx: Transaction, call: Call, ids: Iterable[str] = ()) -> int:
    """Volumes work again: those that `ids` name, or all of the account in the region; how many. Raises: ApiError."""
    named = list(ids)
    found = _named(tx, call, named) if named else impaired_volumes(tx, call.account, call.region)
    impaired = [v for v in found if v.impaired_since]
    for volume in impaired:
        tx.put(replace(volume, impaired_since=0.0))
    return len(impaired)


def impaired_volumes(view: View, account: str, region: str) -> list[Volume]:
    return [v for v in view.all(Volume, account, region) if v.impaired_since]


def _named(view: View, call: Call, ids: Iterable[str]) -> list[Volume]:
    found: dict[str, Volume] = {}
    for id_ in ids:
        if id_.startswith("i-"):
            named = volumes_of(view, require(view, call, Instance, id_))
        else:
            named = require_all(view, call, Volume, [id_])
        found |= {v.id: v for v in named}
    return list(found.values())
