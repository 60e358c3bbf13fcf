"""The metric store's files: an append-only journal of frames, rewritten now and then to keep only what is kept.

A file is `<generation>.journal` in the store's directory: frames of an 8-byte head (payload length and CRC-32, little
endian) and a zlib-compressed MessagePack payload. A frame is whole or it is not there: at the first frame that is
torn or does not match its checksum reading of that file ends, and the last file is cut there.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from elba.datapoints import Dimensions

log = logging.getLogger(__name__)

REWRITE_LEAST_BYTES = 8 * 1024 * 1024
"""A file is rewritten when it holds so much of single contributions (and an eighth of what it keeps as states).

Reading those is what a start takes time for: about 600,000 of them, two seconds. States are read as they are.
"""
FRAME_MOST_BYTES = 1 << 30
RECORDS_PER_FRAME = 20_000
_HEAD = struct.Struct("<II")

Identity = tuple[str, str, str, str, Dimensions]
"""account, region, namespace, metric name, dimensions"""
Name = tuple[int, Identity]
Extremes = tuple[float, float, float, float]
"""count, total, minimum, maximum"""
RawShape = tuple[tuple[float, ...], tuple[float, ...]] | bytes | None
"""(values, counts), an encoded distribution, or None: all values are equal."""
Record = tuple[int, str, float, int, Extremes, RawShape]
"""One contribution: metric number, unit, timestamp, resolution, extremes, shape."""
PackedTier = tuple[str, int, list[tuple[int, int, int, bytes]], bytes]
"""One tier of one series: unit, index of the tier, blocks (first, last, size, data), the newest buckets."""
State = tuple[int, Identity, list[PackedTier]]
"""All of one metric; replaces what was read of it before."""
Frame = tuple[list[Name], list[Record], list[State]]


class _Payload(msgspec.Struct, array_like=True, frozen=True):
    names: list[Name]
    records: list[tuple[int, str, float, int, Extremes, Any]]
    states: list[State]


_decoder = msgspec.msgpack.Decoder(_Payload)
_encoder = msgspec.msgpack.Encoder()


class Journal:
    """The files in `path`. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._generation = 0
        self._size = 0
        self._record_bytes = 0
        self._state_bytes = 0
        self.unfinished = False
        """True after `read` if a rewrite was under way when the last process ended."""

    def read(self) -> Iterator[Frame]:
        """All whole frames, oldest first; then the journal is open for `append`. Raises: OSError."""
        self._path.mkdir(parents=True, exist_ok=True)
        files = self._files()
        for generation, file in files:
            good = 0
            self._record_bytes = self._state_bytes = 0
            for end, frame in _frames(file):
                self._count(end - good, bool(frame[2]))
                good = end
                yield frame
            size = file.stat().st_size
            if good < size:
                log.warning("%s: ignoring %d bytes that make no whole frame", file.name, size - good)
                if generation == files[-1][0]:
                    os.truncate(file, good)
        self._generation = files[-1][0] if files else 1
        self.unfinished = len(files) > 1
        self._open()

    def _files(self) -> list[tuple[int, Path]]:
        return sorted((int(p.stem), p) for p in self._path.glob("*.journal") if p.stem.isdigit())

    def _open(self) -> None:
        file = self._path / f"{self._generation:08d}.journal"
        self._file = file.open("ab", buffering=0)
        self._size = file.stat().st_size
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def append(self, names: Sequence[Name], records: Sequence[Record], states: Sequence[State]) -> None:
        """Write and sync; on failure nothing of it stays. Raises: OSError."""
        file = self._file
        if file is None:
            raise OSError("the metric journal is not open")
        chunks = [
            _frame(names if i == 0 else (), records[i : i + RECORDS_PER_FRAME], ())
            for i in range(0, max(1, len(records)), RECORDS_PER_FRAME)
        ]
        # A state holds the effect of all records given with it, so it comes after them.
        state_chunk = _frame((), (), states) if states else b""
        data = b"".join((*chunks, state_chunk))
        try:
            written = 0
            while written < len(data):
                written += file.write(data[written:])
            os.fdatasync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), self._size)
            raise
        self._size += len(data)
        self._count(len(state_chunk), True)
        self._count(len(data) - len(state_chunk), False)

    def _count(self, size: int, state: bool) -> None:
        if state:
            self._state_bytes += size
        else:
            self._record_bytes += size

    @property
    def wants_rewrite(self) -> bool:
        return self._record_bytes > REWRITE_LEAST_BYTES + self._state_bytes // 8

    def rotate(self) -> None:
        """Go on in a new file. The old ones stay until `drop_old`."""
        self.close()
        self._generation += 1
        self._record_bytes = self._state_bytes = 0
        self._open()

    def drop_old(self) -> None:
        """Remove all files but the present one, which now holds every metric's state."""
        for generation, file in self._files():
            if generation != self._generation:
                file.unlink()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _frame(names: Sequence[Name], records: Sequence[Record], states: Sequence[State]) -> bytes:
    payload = zlib.compress(_encoder.encode((names, records, states)), 1)
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _frames(file: Path) -> Iterator[tuple[int, Frame]]:
    """(offset of its end, frame) until the end or the first that is not whole."""
    with file.open("rb") as source:
        end = 0
        while len(head := source.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if length > FRAME_MOST_BYTES:
                return
            payload = source.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            try:
                decoded = _decoder.decode(zlib.decompress(payload))
            except (zlib.error, msgspec.DecodeError):
                return
            end += _HEAD.size + length
            yield end, (decoded.names, [_record(r) for r in decoded.records], decoded.states)


def _record(record: tuple[int, str, float, int, Extremes, Any]) -> Record:
    number, unit, timestamp, resolution, extremes, shape = record
    if isinstance(shape, list):
        values, counts = shape
        return number, unit, timestamp, resolution, extremes, (tuple(values), tuple(counts))
    return number, unit, timestamp, resolution, extremes, shape if isinstance(shape, bytes) else None
