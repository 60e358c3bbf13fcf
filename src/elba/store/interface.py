"""The store's image, its transactions and the interface of the engines below it.

All resources are held in memory, so a read costs a dictionary look-up and a command can be a pure
function over a `Transaction`. A write is applied to the image at once, handed to the engine, which makes
it durable together with all that arrived meanwhile (group commit), and only then acknowledged and
announced on the change feed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, cast

import msgspec

from elba.errors import StoreError
from elba.resource import Key, Resource

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

Index = dict[tuple[str, str, str], dict[str, Resource]]


def _typed(type_: type[R], resources: Iterable[Resource]) -> list[R]:
    """A list of `resources`, which the caller found under `type_`'s KIND."""
    return cast("list[R]", list(resources))


class Write(msgspec.Struct, frozen=True):
    """One committed transaction: the revision it made, why, and what changed (`None` = deleted)."""

    revision: int
    time: float
    cause: str
    changes: tuple[tuple[Key, Resource | None], ...]


class Engine(Protocol):
    """Keeps writes. `load` is called once, before anything else; `append` is called in revision order."""

    async def load(self) -> tuple[int, list[Resource]]:
        """The last durable revision and all resources at that revision, in order of creation."""

    async def append(self, writes: Sequence[Write]) -> None:
        """Make all of `writes` durable, or none.

        Raises: StoreError. The store then refuses further writes until it is opened again.
        """

    async def close(self) -> None: ...


class View(Protocol):
    """What a pure function may read."""

    def get(self, type_: type[R], account: str, region: str, id_: str) -> R | None:
        """The resource, or None."""

    def all(self, type_: type[R], account: str | None = None, region: str | None = None) -> list[R]:
        """All of a kind in order of creation, of one owner or (None) of all."""

    def children(self, type_: type[R], account: str, region: str, parent_id: str) -> list[R]:
        """All of a kind whose `parent_id()` is `parent_id`, in order of creation."""


class Image:
    """All resources by kind and owner, in order of creation, with the index that `children` needs."""

    def __init__(self) -> None:
        self._by_owner: Index = {}
        self._by_kind: dict[str, dict[Key, Resource]] = {}
        self._children: dict[tuple[str, str, str, str], dict[str, Resource]] = {}

    def get(self, type_: type[R], account: str, region: str, id_: str) -> R | None:
        found = self._by_owner.get((type_.KIND, account, region), {}).get(id_)
        return found if isinstance(found, type_) else None

    def all(self, type_: type[R], account: str | None = None, region: str | None = None) -> list[R]:
        if account is not None and region is not None:
            return _typed(type_, self._by_owner.get((type_.KIND, account, region), {}).values())
        return [
            r
            for r in _typed(type_, self._by_kind.get(type_.KIND, {}).values())
            if (account is None or r.account == account) and (region is None or r.region == region)
        ]

    def children(self, type_: type[R], account: str, region: str, parent_id: str) -> list[R]:
        return _typed(type_, self._children.get((type_.KIND, account, region, parent_id), {}).values())

    def put(self, resource: Resource) -> None:
        key = resource.key
        owner = self._by_owner.setdefault(key[:3], {})
        old = owner.get(key.id)
        if old is not None and (parent := old.parent_id()) is not None and parent != resource.parent_id():
            del self._children[(*key[:3], parent)][key.id]
        owner[key.id] = resource
        self._by_kind.setdefault(key.kind, {})[key] = resource
        if (parent := resource.parent_id()) is not None:
            self._children.setdefault((*key[:3], parent), {})[key.id] = resource

    def delete(self, key: Key) -> None:
        old = self._by_owner.get(key[:3], {}).pop(key.id, None)
        if old is None:
            return
        del self._by_kind[key.kind][key]
        if (parent := old.parent_id()) is not None:
            siblings = self._children[(*key[:3], parent)]
            del siblings[key.id]
            if not siblings:
                del self._children[(*key[:3], parent)]

    def find(self, key: Key) -> Resource | None:
        return self._by_owner.get(key[:3], {}).get(key.id)

    def counts(self) -> dict[str, int]:
        """How many resources there are of each kind."""
        return {kind: len(resources) for kind, resources in sorted(self._by_kind.items()) if resources}

    def __iter__(self) -> Iterator[Resource]:
        for kind in self._by_kind.values():
            yield from kind.values()


class Transaction:
    """A view that sees its own changes; nothing leaves it before the store commits it."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.changes: dict[Key, Resource | None] = {}

    def put(self, resource: Resource) -> None:
        """Create or replace. Putting an equal value changes nothing and makes no revision."""
        if self.changes.get(resource.key) is None and self._image.find(resource.key) == resource:
            self.changes.pop(resource.key, None)
            return
        self.changes[resource.key] = resource

    def delete(self, resource: Resource) -> None:
        """Delete; deleting what is not there changes nothing."""
        if self._image.find(resource.key) is None:
            self.changes.pop(resource.key, None)
        else:
            self.changes[resource.key] = None

    def get(self, type_: type[R], account: str, region: str, id_: str) -> R | None:
        key = Key(type_.KIND, account, region, id_)
        if key in self.changes:
            changed = self.changes[key]
            return changed if isinstance(changed, type_) else None
        return self._image.get(type_, account, region, id_)

    def all(self, type_: type[R], account: str | None = None, region: str | None = None) -> list[R]:
        return self._overlay(
            type_,
            self._image.all(type_, account, region),
            lambda r: account in (None, r.account) and region in (None, r.region),
        )

    def children(self, type_: type[R], account: str, region: str, parent_id: str) -> list[R]:
        return self._overlay(
            type_,
            self._image.children(type_, account, region, parent_id),
            lambda r: r.account == account and r.region == region and r.parent_id() == parent_id,
        )

    def _overlay(self, type_: type[R], base: list[R], belongs: Callable[[R], bool]) -> list[R]:
        touched = {k: v for k, v in self.changes.items() if k.kind == type_.KIND}
        if not touched:
            return base
        result: list[R] = []
        for resource in base:
            if resource.key in touched:
                changed = touched.pop(resource.key)
                if isinstance(changed, type_) and belongs(changed):
                    result.append(changed)
            else:
                result.append(resource)
        result.extend(v for v in touched.values() if isinstance(v, type_) and belongs(v))
        return result


Listener = Callable[[Iterable[Key]], None]


class Store:
    """The one place where state changes.

    `write` is the only way in; a command that raises leaves no trace. `subscribe` hears of keys (never
    values) after they are durable: a reconciler reads the present, not history.
    """

    def __init__(self, engine: Engine, now: Callable[[], float]) -> None:
        self._engine = engine
        self._now = now
        self._image = Image()
        self._revision = 0
        self._durable = 0
        self._pending: list[Write] = []
        self._flushing: asyncio.Task[None] | None = None
        self._flushed: asyncio.Future[None] | None = None
        self._listeners: list[Listener] = []
        self._failure: StoreError | None = None
        self._losses = 0
        """How often writes were lost to a failing disk: whoever waited over a loss is told so."""
        self._recovering = asyncio.Lock()

    async def open(self) -> None:
        """Load the last durable state. Raises: StoreError."""
        self._revision, resources = await self._engine.load()
        self._durable = self._revision
        for resource in resources:
            self._image.put(resource)

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def view(self) -> View:
        """The present. Reading it never waits; see `settled` for what a client may be told."""
        return self._image

    def counts(self) -> dict[str, int]:
        """How many resources there are of each kind."""
        return self._image.counts()

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def write(self, command: Callable[[Transaction], T], cause: str) -> T:
        """Run `command` and return its answer once its changes are durable.

        After a write that failed the store first goes back to what is durable; if that can be had, it goes on.

        Raises: whatever the command raises (nothing has changed then), StoreError.
        """
        if self._failure is not None:
            await self._recover()
        transaction = Transaction(self._image)
        answer = command(transaction)
        if transaction.changes:
            self._revision += 1
            changes = tuple(transaction.changes.items())
            for key, value in changes:
                if value is None:
                    self._image.delete(key)
                else:
                    self._image.put(value)
            self._pending.append(Write(self._revision, self._now(), cause, changes))
        await self.settled()
        return answer

    async def settled(self) -> None:
        """Wait until all that the view shows is durable: no answer may tell of what a crash could undo."""
        revision, losses = self._revision, self._losses
        while self._durable < revision or losses != self._losses:
            if self._failure is not None:
                raise self._failure
            if losses != self._losses:
                raise StoreError("the disk did not take the write")
            if self._flushing is None:
                self._flushed = asyncio.get_running_loop().create_future()
                self._flushing = asyncio.create_task(self._flush(), name="store.flush")
            assert self._flushed is not None
            await asyncio.shield(self._flushed)

    async def _flush(self) -> None:
        flushed = self._flushed
        assert flushed is not None
        writes, self._pending = self._pending, []
        try:
            await self._engine.append(writes)
        except StoreError as error:
            self._failure = error
        else:
            self._durable = writes[-1].revision
            keys = {key: None for write in writes for key, _ in write.changes}
            for listener in self._listeners:
                listener(keys)
        finally:
            self._flushing = None
            flushed.set_result(None)

    async def _recover(self) -> None:
        """Put the image back to what is durable, once the engine can be read again. Raises: StoreError."""
        async with self._recovering:
            if self._failure is None:
                return
            revision, resources = await self._engine.load()
            before = {resource.key: resource for resource in self._image}
            after = {resource.key: resource for resource in resources}
            undone = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
            for resource in before.values():
                self._image.delete(resource.key)
            for resource in resources:
                self._image.put(resource)
            self._pending.clear()
            self._revision = self._durable = revision
            self._losses += 1
            self._failure = None
            for listener in self._listeners:
                listener(undone)

    async def close(self) -> None:
        """Make durable what is pending, then close the engine."""
        if self._failure is None:
            await self.settled()
        await self._engine.close()
