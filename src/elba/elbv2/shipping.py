"""Log files on their way from the local buckets to the operator's S3 endpoint (`elba up --s3-endpoint`).

Zone nodes put finished files into `<data dir>/buckets/<bucket>/…/AWSLogs/…`, whether anybody ships them or not. Each is
put under the same bucket and key, tried again until it is taken, and remembered in `<data dir>/shipped-logs`; the local
file stays. Files that were there before an endpoint was named are shipped too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elba.object_endpoint import ObjectEndpoint, ObjectRefused

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 1.0, 60.0
"""Of the world's time."""
LOGS = "AWSLogs"


class Folders:
    """The files below a folder; folders that have not changed since the last look are not read again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, tuple[int, list[Path]]] = {}

    def new_files(self) -> Iterator[Path]:
        """Files of folders that are new or have changed; the same file may come again."""
        waiting = [self._root]
        while waiting:
            folder = waiting.pop()
            try:
                changed = folder.stat().st_mtime_ns
                known = self._known.get(folder)
                if known is not None and known[0] == changed:
                    waiting += known[1]
                    continue
                entries = list(folder.iterdir())
            except OSError:  # removed meanwhile
                self._known.pop(folder, None)
                continue
            folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
            self._known[folder] = (changed, folders)
            waiting += folders
            yield from (entry for entry in entries if entry.is_file() and not entry.is_symlink())


@dataclass
class Waiting:
    """Files that wait for one bucket, oldest first, and when it may be tried (time of the loop)."""

    names: dict[str, None] = field(default_factory=dict)
    not_before: float = 0.0
    pause: float = RETRY_FIRST_SECONDS


class LogShipper:
    """Puts log files to `endpoint` as they come."""

    name = "elbv2.log_shipping"

    def __init__(self, data_directory: Path, endpoint: ObjectEndpoint) -> None:
        self._buckets = data_directory / "buckets"
        self._ledger = data_directory / "shipped-logs"
        self._endpoint = endpoint
        self._waiting: dict[str, Waiting] = {}

    async def run(self) -> None:
        """Ship what is there, then what comes."""
        shipped = await asyncio.to_thread(self._read_ledger)
        folders = Folders(self._buckets)
        while True:
            found = await asyncio.to_thread(lambda: [self._name(path) for path in folders.new_files()])
            for name in found:
                if name and name not in shipped:
                    bucket = self._waiting.setdefault(name.partition("/")[0], Waiting())
                    bucket.names[name] = None
            await asyncio.gather(*(self._ship_bucket(bucket, shipped) for bucket in self._waiting.values()))
            await asyncio.sleep(LOOK_SECONDS)

    async def _ship_bucket(self, bucket: Waiting, shipped: set[str]) -> None:
        """What waits for one bucket, unless it has just been refused: one bucket's trouble is not another's."""
        now = asyncio.get_running_loop().time()
        if now < bucket.not_before:
            return
        for name in list(bucket.names):
            del bucket.names[name]
            if not await self._ship(name):
                bucket.names[name] = None  # behind the others, in case that it alone is refused
                bucket.pause = min(RETRY_MOST_SECONDS, bucket.pause * 2)
                bucket.not_before = now + bucket.pause
                return
            shipped.add(name)
        bucket.pause = RETRY_FIRST_SECONDS

    def _name(self, path: Path) -> str:
        """`<bucket>/<key>` of a log file; "" if it is none, or not finished."""
        parts = path.relative_to(self._buckets).parts
        is_log = LOGS in parts[1:-1] and (path.name.endswith(".log.gz") or path.name.endswith("TestFile"))
        return "/".join(parts) if is_log else ""

    async def _ship(self, name: str) -> bool:
        bucket, _, key = name.partition("/")
        try:
            body = await asyncio.to_thread((self._buckets / name).read_bytes)
            await self._endpoint.put(bucket, key, body, _region(key))
        except FileNotFoundError:
            return True
        except (ObjectRefused, OSError) as error:
            log.warning("log file not shipped; will retry", extra={"resource": name, "cause": str(error)})
            return False
        await asyncio.to_thread(self._note, name)
        return True

    def _note(self, name: str) -> None:
        with self._ledger.open("a") as file:
            file.write(name + "\n")

    def _read_ledger(self) -> set[str]:
        """What was shipped and is still here; the rest is forgotten."""
        try:
            names = self._ledger.read_text().splitlines()
        except FileNotFoundError:
            return set()
        kept = {name for name in names if name and (self._buckets / name).is_file()}
        new = self._ledger.with_name(self._ledger.name + ".new")
        new.write_text("".join(f"{name}\n" for name in sorted(kept)))
        new.replace(self._ledger)
        return kept


def _region(key: str) -> str:
    """The region whose load balancer wrote it: its bucket is there, as AWS asks for."""
    parts = key.split("/")
    if "elasticloadbalancing" in parts[:-1]:
        return parts[parts.index("elasticloadbalancing") + 1]
    return "us-east-1"
