"""The embedded engine: SQLite, write-ahead log, synchronous=FULL, one transaction for all writes that wait.

A thread of its own carries the file, so that an fsync never holds up the event loop. Rows are the resources at the
latest revision, as JSON; `revisions` keeps the last ones' causes for people who ask why something changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from elba.errors import StoreError
from elba.resource import Key, Resource
from elba.store.interface import Write

T = TypeVar("T")

SCHEMA_VERSION = 1
REVISIONS_KEPT = 10_000

metadata = sa.MetaData()

resources = sa.Table(
    "resources",
    metadata,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("account", sa.String, primary_key=True),
    sa.Column("region", sa.String, primary_key=True),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("created", sa.Integer, nullable=False),  # the revision; with `place`, the order of creation
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("cause", sa.String, nullable=False),
    sa.Column("keys", sa.LargeBinary, nullable=False),
)


class SqliteEngine:
    """Keeps the store in one file.

    `types` maps a kind to its type (see `store.kinds`); rows of kinds it does not name, written by a newer Elba,
    are left alone.
    """

    def __init__(self, path: Path, types: Mapping[str, type[Resource]]) -> None:
        self._types = types
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.StaticPool)
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)

    async def load(self) -> tuple[int, list[Resource]]:
        return await self._in_thread(self._load)

    async def append(self, writes: Sequence[Write]) -> None:
        await self._in_thread(self._append, writes)

    async def close(self) -> None:
        try:
            await self._in_thread(self._engine.dispose)
        finally:
            self._thread.shutdown()

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"the store could not be read or written: {error}") from error

    def _load(self) -> tuple[int, list[Resource]]:
        with self._engine.begin() as connection:
            found = connection.execute(sa.text("PRAGMA user_version")).scalar_one()
            if found > SCHEMA_VERSION:
                raise StoreError(
                    f"the store was written by a newer Elba (schema {found}, this one reads {SCHEMA_VERSION})"
                )
            metadata.create_all(connection)
            connection.execute(sa.text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
            revision = connection.execute(sa.select(sa.func.max(revisions.c.revision))).scalar_one() or 0
            rows = connection.execute(
                sa.select(resources.c.kind, resources.c.body).order_by(resources.c.created, resources.c.place)
            ).all()
        decoders = {kind: msgspec.json.Decoder(type_) for kind, type_ in self._types.items()}
        try:
            loaded = [decoders[kind].decode(body) for kind, body in rows if kind in decoders]
        except msgspec.MsgspecError as error:
            raise StoreError(f"the store holds what this Elba cannot read: {error}") from error
        return revision, loaded

    def _append(self, writes: Sequence[Write]) -> None:
        latest: dict[Key, tuple[Resource | None, int, int]] = {}
        removed_before: set[Key] = set()  # deleted, then created anew, in one group: a new place in the order
        for write in writes:
            for place, (key, value) in enumerate(write.changes):
                if value is None:
                    removed_before.add(key)
                latest[key] = (value, write.revision, place)
        gone = [key for key, (value, _, _) in latest.items() if value is None or key in removed_before]
        kept = [
            {
                "kind": key.kind,
                "account": key.account,
                "region": key.region,
                "id": key.id,
                "created": revision,
                "place": place,
                "revision": revision,
                "body": msgspec.json.encode(value),
            }
            for key, (value, revision, place) in latest.items()
            if value is not None
        ]
        with self._engine.begin() as connection:
            if gone:
                connection.execute(_DELETE, [{f"k_{n}": v for n, v in key._asdict().items()} for key in gone])
            if kept:
                connection.execute(_UPSERT, kept)
            connection.execute(
                revisions.insert(),
                [
                    {
                        "revision": write.revision,
                        "time": write.time,
                        "cause": write.cause,
                        "keys": msgspec.json.encode([key for key, _ in write.changes]),
                    }
                    for write in writes
                ],
            )
            oldest = writes[-1].revision - REVISIONS_KEPT
            if oldest > 0 and writes[-1].revision % 100 < len(writes):
                connection.execute(revisions.delete().where(revisions.c.revision <= oldest))


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin`, not by the driver behind our back
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA locking_mode = EXCLUSIVE")  # one control plane to a file; also spares the shared memory file
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


_DELETE = resources.delete().where(
    *(resources.c[name] == sa.bindparam(f"k_{name}") for name in ("kind", "account", "region", "id"))
)
_new = insert(resources)
_UPSERT = _new.on_conflict_do_update(
    index_elements=["kind", "account", "region", "id"],
    set_={"revision": _new.excluded.revision, "body": _new.excluded.body},
)
