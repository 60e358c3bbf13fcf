"""The default web app: HTTP/1.1 with keep-alive on $ELBA_ADDRESS:$PORT, a thread per connection.

`/` says which instance answers, in which zone; `/health` is 200 (503 once `run/unhealthy` exists); `/work?ms=N` uses
N milliseconds of CPU; `/wait?ms=N` answers after N milliseconds; `/status?code=N` answers with that status;
`/headers` shows the request. On SIGTERM it takes no more connections and ends what it has begun.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time

ADDRESS = os.environ.get("ELBA_ADDRESS", "127.0.0.1")
PORT = int(os.environ.get("PORT") or 80)
ROOT = os.environ.get("ELBA_ROOT", ".")
INSTANCE = os.environ.get("INSTANCE_ID", "")
ZONE = os.environ.get("ELBA_AVAILABILITY_ZONE", "")
HOSTNAME = os.environ.get("HOSTNAME", "")

MOST_HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 90.0  # longer than a load balancer keeps an idle connection: it is the one to close
MOST_WORK_MILLISECONDS = 60_000.0

REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}

stopping = threading.Event()
busy_lock = threading.Lock()
busy = 0


class Closed(Exception):
    """The other side is done."""


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise Closed
        self.buffer += data

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            if len(self.buffer) > MOST_HEAD_BYTES:
                raise Closed
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def skip(self, count: int) -> None:
        while len(self.buffer) < count:
            count -= len(self.buffer)
            self.buffer = b""
            self.more()
        self.buffer = self.buffer[count:]

    def head(self) -> tuple[str, str, str, list[tuple[str, str]]]:
        line = self.line()
        while not line:
            line = self.line()
        words = line.decode("latin-1").split(" ")
        if len(words) != 3:
            raise ValueError("request line")
        headers = []
        size = len(line)
        while line := self.line():
            size += len(line)
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or size > MOST_HEAD_BYTES:
                raise ValueError("header")
            headers.append((name.strip(), value.strip()))
        return words[0], words[1], words[2], headers

    def skip_body(self, headers: dict[str, str]) -> None:
        length = headers.get("content-length", "0")
        chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
        if headers.get("expect", "").lower() == "100-continue" and (chunked or length != "0"):
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not chunked:
            self.skip(int(length))
            return
        while size := int(self.line().partition(b";")[0], 16):
            self.skip(size)
            self.line()
        while self.line():
            pass


def answer(path: str, query: dict[str, str], headers: list[tuple[str, str]]) -> tuple[int, str, str]:
    if path == "/health":
        down = os.path.exists(os.path.join(ROOT, "run", "unhealthy"))
        return (503, "text/plain", "unhealthy\n") if down else (200, "text/plain", "ok\n")
    if path == "/work":
        end = time.thread_time() + min(MOST_WORK_MILLISECONDS, float(query.get("ms", "10"))) / 1000
        while time.thread_time() < end:
            for _ in range(1000):
                pass
        return 200, "text/plain", f"{INSTANCE} worked\n"
    if path == "/wait":
        stopping.wait(min(MOST_WORK_MILLISECONDS, float(query.get("ms", "10"))) / 1000)
        return 200, "text/plain", f"{INSTANCE} waited\n"
    if path == "/status":
        return int(query.get("code", "200")), "text/plain", f"{INSTANCE}\n"
    if path == "/headers":
        return 200, "application/json", json.dumps({"instance_id": INSTANCE, "headers": headers}) + "\n"
    if path == "/":
        return 200, "text/plain", f"instance {INSTANCE}\nzone {ZONE}\nhost {HOSTNAME}\n"
    return 404, "text/plain", "not found\n"


def respond(connection: Connection) -> bool:
    """Read one request and answer it; whether the connection stays open."""
    global busy
    connection.sock.settimeout(IDLE_SECONDS)
    while not connection.buffer:
        connection.more()
    with busy_lock:
        busy += 1
    try:
        method, target, version, headers = connection.head()
        names = {name.lower(): value for name, value in headers}
        connection.skip_body(names)
        path, _, rest = target.partition("?")
        query = dict(pair.partition("=")[::2] for pair in rest.split("&"))
        try:
            status, kind, body = answer(path, query, headers)
        except ValueError:
            status, kind, body = 400, "text/plain", "bad number\n"
        keep = (names.get("connection", "").lower() != "close") and version == "HTTP/1.1" and not stopping.is_set()
        content = body.encode()
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\nServer: elba\r\nContent-Type: {kind}\r\n"
            f"X-Instance-Id: {INSTANCE}\r\nContent-Length: {len(content)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        connection.sock.sendall(head.encode("latin-1") + (b"" if method == "HEAD" else content))
        return keep
    finally:
        with busy_lock:
            busy -= 1


def serve(sock: socket.socket) -> None:
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock)
        try:
            while respond(connection):
                pass
        except (OSError, Closed):
            pass
        except ValueError:
            try:
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                pass


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((ADDRESS, PORT))
    listener.listen(1024)
    threading.stack_size(256 * 1024)

    def end(*_: object) -> None:
        stopping.set()
        try:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        except OSError:
            pass

    signal.signal(signal.SIGTERM, end)
    print(f"web: listening on {ADDRESS}:{PORT}", flush=True)
    while not stopping.is_set():
        try:
            sock, _ = listener.accept()
        except OSError:
            if stopping.is_set():
                break
            time.sleep(0.05)  # out of file descriptors: those that close make room
            continue
        threading.Thread(target=serve, args=(sock,), daemon=True).start()
    listener.close()
    while busy:
        time.sleep(0.01)
    os._exit(0)


if __name__ == "__main__":
    main()
