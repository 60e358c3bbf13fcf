"""One connection to one zone node: frames out, frames in. See `protocol` for what they mean."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from elba.dataplane.protocol import MAX_FRAME_BYTES, Down, Hello, Up

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Up] = msgspec.json.Decoder(Up)

HELLO_SECONDS = 5.0


class LinkBroken(Exception):
    """The connection is gone, or what came over it is not the protocol."""


def encode(message: Down) -> bytes:
    """The frame of a message."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(4, "big") + body


class Link:
    """A connected node; `hello` is what it said first."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello) -> None:
        self._reader = reader
        self._writer = writer
        self.hello = hello

    @classmethod
    async def connect(cls, socket: Path) -> Link:
        """Raises: LinkBroken if nobody listens there or it does not say Hello."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(socket))
        except OSError as error:
            raise LinkBroken(f"{socket}: {error}") from error
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = await _read(reader)
        except (LinkBroken, TimeoutError) as error:
            await _close(writer)
            raise LinkBroken(f"{socket}: no hello: {error}") from error
        except asyncio.CancelledError:
            writer.close()
            raise
        if not isinstance(hello, Hello):
            await _close(writer)
            raise LinkBroken(f"{socket}: said {type(hello).__name__} first")
        return cls(reader, writer, hello)

    def send(self, message: Down) -> None:
        """Hand the message to the kernel as far as it takes it; the rest follows."""
        self._writer.write(encode(message))

    async def receive(self) -> Up:
        """The next message. Raises: LinkBroken."""
        return await _read(self._reader)

    async def close(self) -> None:
        await _close(self._writer)


async def _read(reader: asyncio.StreamReader) -> Up:
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > MAX_FRAME_BYTES:
            raise LinkBroken(f"a frame of {length} bytes")
        return _DECODER.decode(await reader.readexactly(length))
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise LinkBroken(f"{type(error).__name__}: {error}") from error


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return
