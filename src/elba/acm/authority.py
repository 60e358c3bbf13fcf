"""This Elba's certificate authority: made when first needed, kept in the store."""

from __future__ import annotations

from elba.acm import commands
from elba.acm.lookup import authority_of
from elba.acm.resources import OF_ELBA, Authority
from elba.call import Call
from elba.clock import Clock
from elba.ids import IdSource
from elba.store.interface import Store
from elba.x509.issuing import new_authority


async def ensure_authority(store: Store, clock: Clock, ids: IdSource) -> Authority:
    """The authority, durable. Of two that are made at once the first stays. Raises: StoreError."""
    found = authority_of(store.view)
    if found is None:
        call = Call(OF_ELBA, OF_ELBA, clock.now(), ids)
        made = {"issued": new_authority(ids.random, clock.wall())}
        await store.write(lambda tx: commands.put_authority(tx, call, made), "acm:authority")
        found = authority_of(store.view)
        assert found is not None
    await store.settled()
    return found
