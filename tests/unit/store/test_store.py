"""The store's promises, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from elba.errors import ApiError, StoreError
from elba.resource import Key
from elba.store import Engine, MemoryEngine, Store, Transaction, Write
from elba.store.sqlite import SqliteEngine
from tests.unit.store.sample import Thing, thing

OWNER = ("000000000000", "us-east-1")
Body = Callable[[Store], Coroutine[Any, Any, None]]


@pytest.fixture(params=["memory", "sqlite"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Runs a body on a store that sees what earlier calls made durable."""
    memory = MemoryEngine()

    def run(body: Body) -> None:
        async def main() -> None:
            engine: Engine = memory
            if request.param == "sqlite":
                engine = SqliteEngine(tmp_path / "store.db", {Thing.KIND: Thing})
            store = Store(engine, now=lambda: 0.0)
            await store.open()
            try:
                await body(store)
            finally:
                await store.close()

        asyncio.run(main())

    return run


def put(*things: Thing) -> Callable[[Transaction], None]:
    def command(tx: Transaction) -> None:
        for each in things:
            tx.put(each)

    return command


def test_a_written_resource_is_there_after_reopening(reopen: Callable[[Body], None]) -> None:
    async def first(store: Store) -> None:
        await store.write(put(thing("a", 1), thing("b", 2)), "test")
        await store.write(put(thing("a", 3)), "test")
        await store.write(lambda tx: tx.delete(thing("b", 2)), "test")

    async def second(store: Store) -> None:
        assert store.view.all(Thing) == [thing("a", 3)]
        assert store.revision == 3

    reopen(first)
    reopen(second)


def test_order_of_creation_survives_changes_and_reopening(reopen: Callable[[Body], None]) -> None:
    async def first(store: Store) -> None:
        await store.write(put(thing("z"), thing("a"), thing("m")), "test")
        await store.write(put(thing("z", 9)), "test")
        await store.write(lambda tx: tx.delete(thing("a")), "test")
        await store.write(put(thing("a")), "test")

    async def second(store: Store) -> None:
        assert [t.id for t in store.view.all(Thing, *OWNER)] == ["z", "m", "a"]

    reopen(first)
    reopen(second)


def test_delete_and_create_in_one_transaction_takes_a_new_place(reopen: Callable[[Body], None]) -> None:
    async def first(store: Store) -> None:
        await store.write(put(thing("a", 1), thing("b", 1)), "test")

        async def burst() -> None:
            await asyncio.gather(
                store.write(lambda tx: tx.delete(thing("a", 1)), "test"),
                store.write(put(thing("a", 2)), "test"),
            )

        await burst()
        assert [t.id for t in store.view.all(Thing)] == ["b", "a"]

    async def second(store: Store) -> None:
        assert store.view.all(Thing) == [thing("b", 1), thing("a", 2)]

    reopen(first)
    reopen(second)


def test_a_command_that_raises_changes_nothing(reopen: Callable[[Body], None]) -> None:
    async def body(store: Store) -> None:
        def command(tx: Transaction) -> None:
            tx.put(thing("a"))
            raise ApiError("ValidationError", "no")

        with pytest.raises(ApiError):
            await store.write(command, "test")
        assert store.view.all(Thing) == []
        assert store.revision == 0

    reopen(body)


def test_writing_what_is_there_already_makes_no_revision(reopen: Callable[[Body], None]) -> None:
    async def body(store: Store) -> None:
        await store.write(put(thing("a", 1)), "test")
        await store.write(put(thing("a", 1)), "test")
        await store.write(lambda tx: tx.delete(thing("b")), "test")
        assert store.revision == 1

    reopen(body)


def test_a_transaction_sees_its_own_changes(reopen: Callable[[Body], None]) -> None:
    async def body(store: Store) -> None:
        await store.write(put(thing("a", owner="p"), thing("b", owner="p"), thing("c", owner="q")), "test")

        def command(tx: Transaction) -> None:
            tx.delete(thing("a", owner="p"))
            tx.put(thing("b", 5, owner="q"))
            tx.put(thing("d", owner="p"))
            assert tx.get(Thing, *OWNER, "a") is None
            assert [t.id for t in tx.all(Thing, *OWNER)] == ["b", "c", "d"]
            assert [t.id for t in tx.children(Thing, *OWNER, "p")] == ["d"]
            assert {t.id for t in tx.children(Thing, *OWNER, "q")} == {"b", "c"}
            tx.put(thing("a", owner="p"))
            assert tx.get(Thing, *OWNER, "a") == thing("a", owner="p")

        await store.write(command, "test")
        assert {t.id for t in store.view.children(Thing, *OWNER, "q")} == {"b", "c"}
        assert {t.id for t in store.view.children(Thing, *OWNER, "p")} == {"a", "d"}

    reopen(body)


def test_the_feed_names_keys_once_they_are_durable(reopen: Callable[[Body], None]) -> None:
    async def body(store: Store) -> None:
        heard: list[Key] = []
        store.subscribe(heard.extend)
        await asyncio.gather(store.write(put(thing("a", 1)), "x"), store.write(put(thing("a", 2), thing("b")), "y"))
        assert sorted(heard) == [thing("a").key, thing("b").key] or sorted(set(heard)) == [
            thing("a").key,
            thing("b").key,
        ]

    reopen(body)


class SlowEngine(MemoryEngine):
    """Counts groups and can fail, for tests of group commit."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.fail = False
        self.gate = asyncio.Event()

    async def append(self, writes: Sequence[Write]) -> None:
        await self.gate.wait()
        if self.fail:
            raise StoreError("disk full")
        self.groups.append(len(writes))
        await super().append(writes)


async def group_commit() -> None:
    engine = SlowEngine()
    store = Store(engine, now=lambda: 0.0)
    await store.open()
    tasks = [asyncio.create_task(store.write(put(thing(f"t{n}")), "test")) for n in range(50)]
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(*tasks)
    assert sum(engine.groups) == 50
    assert len(engine.groups) <= 2


def test_writes_that_wait_together_are_committed_together() -> None:
    asyncio.run(group_commit())


def test_nothing_is_acknowledged_after_the_disk_failed() -> None:
    async def main() -> None:
        engine = SlowEngine()
        engine.gate.set()
        engine.fail = True
        store = Store(engine, now=lambda: 0.0)
        await store.open()
        heard: list[Key] = []
        store.subscribe(heard.extend)
        with pytest.raises(StoreError):
            await store.write(put(thing("a")), "test")
        with pytest.raises(StoreError):
            await store.settled()
        assert heard == []
        with pytest.raises(StoreError):
            await store.write(put(thing("b")), "test")

    asyncio.run(main())


def test_a_store_goes_on_from_what_is_durable_once_the_disk_does() -> None:
    async def main() -> None:
        engine = SlowEngine()
        engine.gate.set()
        store = Store(engine, now=lambda: 0.0)
        await store.open()
        await store.write(put(thing("a", 1)), "test")
        heard: list[Key] = []
        store.subscribe(heard.extend)
        engine.fail = True
        lost = await asyncio.gather(
            store.write(put(thing("a", 2)), "test"),
            store.write(put(thing("b")), "test"),
            return_exceptions=True,
        )
        assert [type(each) for each in lost] == [StoreError, StoreError]
        engine.fail = False
        await store.write(put(thing("c")), "test")
        assert store.view.all(Thing) == [thing("a", 1), thing("c")]
        assert {key.id for key in heard} == {"a", "b", "c"}, "reconcilers look again at what was undone"
        again = Store(engine, now=lambda: 0.0)
        await again.open()
        assert again.view.all(Thing) == [thing("a", 1), thing("c")]

    asyncio.run(main())


def test_a_reader_waits_for_what_it_saw_to_be_durable() -> None:
    async def main() -> None:
        engine = SlowEngine()
        store = Store(engine, now=lambda: 0.0)
        await store.open()
        writing = asyncio.create_task(store.write(put(thing("a")), "test"))
        await asyncio.sleep(0)
        assert store.view.get(Thing, *OWNER, "a") is not None
        reading = asyncio.create_task(store.settled())
        done, _ = await asyncio.wait([reading], timeout=0.01)
        assert not done
        engine.gate.set()
        await asyncio.gather(writing, reading)

    asyncio.run(main())


def test_rows_of_unknown_kinds_are_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "store.db"
        store = Store(SqliteEngine(path, {Thing.KIND: Thing}), now=lambda: 0.0)
        await store.open()
        await store.write(put(thing("a", 7)), "test")
        await store.close()
        blind = Store(SqliteEngine(path, {}), now=lambda: 0.0)
        await blind.open()
        assert blind.view.all(Thing) == []
        await blind.close()
        again = Store(SqliteEngine(path, {Thing.KIND: Thing}), now=lambda: 0.0)
        await again.open()
        assert again.view.all(Thing) == [thing("a", 7)]
        await again.close()

    asyncio.run(main())


def test_an_older_body_reads_with_defaults() -> None:
    old = b'{"account":"000000000000","region":"us-east-1","id":"a"}'
    assert msgspec.json.decode(old, type=Thing) == thing("a")
