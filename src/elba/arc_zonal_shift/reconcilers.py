"""Ends shifts whose time is over or whose resource can no longer be shifted, and forgets old ones."""

from __future__ import annotations

from collections.abc import Iterable

from elba.arc_zonal_shift.commands import ended
from elba.arc_zonal_shift.managed import find_managed
from elba.arc_zonal_shift.resources import ZonalShift
from elba.autoscaling.resources import Group
from elba.elbv2.resources import LoadBalancer
from elba.parts import Parts
from elba.reconcile import Again, Done, Reconciler, Ticker
from elba.resource import Key
from elba.store.interface import Transaction

KEPT_SECONDS = 90 * 86400.0
"""How long a shift that is over is still listed."""


def build(parts: Parts) -> list[Reconciler | Ticker]:
    return [ShiftReconciler(parts)]


class ShiftReconciler:
    """One key per shift."""

    name = "arc_zonal_shift.zonal_shift"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind == ZonalShift.KIND:
            return [changed]
        if changed.kind not in (LoadBalancer.KIND, Group.KIND):
            return []
        view = self._parts.store.view
        arn = changed.id
        if changed.kind == Group.KIND:
            group = view.get(Group, changed.account, changed.region, changed.id)
            if group is None:  # its shift ends on its own
                return []
            arn = group.arn
        return [shift.key for shift in view.children(ZonalShift, changed.account, changed.region, arn)]

    def all_keys(self) -> Iterable[Key]:
        return [shift.key for shift in self._parts.store.view.all(ZonalShift)]

    async def reconcile(self, key: Key) -> Done | Again:
        parts = self._parts
        shift = parts.store.view.get(ZonalShift, key.account, key.region, key.id)
        if shift is None:
            return Done()
        now = parts.clock.now()
        if shift.ended_at is not None:
            if now < shift.ended_at + KEPT_SECONDS:
                return Again(shift.ended_at + KEPT_SECONDS - now, "it is forgotten")
            await parts.store.write(lambda tx: tx.delete(shift), f"reconciler:{self.name}")
            return Done()
        due: list[float] = []

        def end(tx: Transaction) -> None:
            current = tx.get(ZonalShift, key.account, key.region, key.id)
            if current is None or current.ended_at is not None:
                return
            if current.expiry_time <= now:
                tx.put(ended(current, "EXPIRED", current.expiry_time))
            elif find_managed(tx, key.account, key.region, current.resource_arn) is None:
                tx.put(ended(current, "CANCELED", now))
            else:
                due.append(current.expiry_time - now)

        await parts.store.write(end, f"reconciler:{self.name}")
        return Again(due[0], "it expires") if due else Done()
