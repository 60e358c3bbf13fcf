"""Traffic in processes of its own, so that it does not wait for the test that watches it.

    python traffic.py serve ADDRESS:PORT …             an HTTP server on each, until stdin ends
    python traffic.py load ADDRESS HTTP HTTPS HOST     requests to both ports, until stdin ends; then what came of them

`load` keeps connections on the HTTP port and makes a new one for each request on the HTTPS port. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

BODY = b"served"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CLIENTS = 4


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()


class Load:
    def __init__(self, address: str, plain: int, secure: int, host: str) -> None:
        self.address, self.plain, self.secure, self.host = address, plain, secure, host
        self.served, self.failures, self.ends = 0, list[str](), False
        self.first = asyncio.Event()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection can be used again."""
        writer.write(f"GET /x HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
        length = int(head.lower().partition("content-length:")[2].split()[0])
        body = await asyncio.wait_for(reader.readexactly(length), 10)
        if not head.startswith("HTTP/1.1 200 ") or body != BODY:
            raise ValueError(head.splitlines()[0])
        self.served += 1
        self.first.set()
        return "connection: close" not in head.lower()

    async def client(self, port: int, context: ssl.SSLContext | None) -> None:
        while not self.ends:
            try:
                name = self.host if context else None
                reader, writer = await asyncio.open_connection(self.address, port, ssl=context, server_hostname=name)
                try:
                    while await self.ask(reader, writer) and context is None and not self.ends:
                        pass
                finally:
                    writer.close()
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.failures.append(f"{port}: {error!r}")

    async def run(self) -> None:
        clients = [self.client(self.plain, None) for _ in range(CLIENTS)]
        clients += [self.client(self.secure, self.context) for _ in range(CLIENTS // 2)]
        tasks = [asyncio.create_task(client) for client in clients]
        await self.first.wait()
        print("serving", flush=True)
        await until_stdin_ends()
        self.ends = True
        await asyncio.gather(*tasks)
        print(json.dumps({"served": self.served, "failed": len(self.failures), "failures": self.failures[:5]}))


async def until_stdin_ends() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def main(mode: str, *arguments: str) -> None:
    if mode == "load":
        address, plain, secure, host = arguments
        await Load(address, int(plain), int(secure), host).run()
        return
    for place in arguments:
        address, _, port = place.rpartition(":")
        await asyncio.start_server(serve, address, int(port))
    print("serving", flush=True)
    await until_stdin_ends()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
