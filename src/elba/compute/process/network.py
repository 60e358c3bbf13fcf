"""Bytes and packets in and out per instance, from the kernel's TCP counters of sockets on the instance's address.

There is no network interface per instance to count on. What is open is read each time (sock_diag, as `ss -i` does)
and differences are added up, so a connection's last bytes between a reading and its end are missed, and one that
lived only between two readings is missed whole. Load balancers keep connections to their targets open, so of their
traffic little is lost. UDP is not counted.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_DUMP = 0x301
NLMSG_DONE, NLMSG_ERROR = 3, 2
INET_DIAG_INFO = 2
ESTABLISHED_AND_CLOSING = sum(1 << state for state in (1, 4, 5, 8, 9, 11))
HEAD = struct.Struct("=IHHII")
ACKED_OFFSET = 120
"""tcpi_bytes_acked, then tcpi_bytes_received, tcpi_segs_out and tcpi_segs_in, in struct tcp_info (Linux 4.2 and later).
"""
COUNTERS = struct.Struct("=QQII")
SEGMENTS_WRAP = 1 << 32

LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")


class Traffic(NamedTuple):
    """What one address received and sent; segments stand for packets."""

    received_bytes: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    sent_packets: int = 0

    def since(self, before: Traffic) -> Traffic:
        """The difference; the kernel counts segments in 32 bits, which may have wrapped."""
        return Traffic(
            self.received_bytes - before.received_bytes,
            self.sent_bytes - before.sent_bytes,
            (self.received_packets - before.received_packets) % SEGMENTS_WRAP,
            (self.sent_packets - before.sent_packets) % SEGMENTS_WRAP,
        )

    def plus(self, more: Traffic) -> Traffic:
        return Traffic(*(mine + other for mine, other in zip(self, more, strict=True)))


NOTHING = Traffic()


class SocketTraffic:
    """Totals per local address since it was made."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._last: dict[int, Traffic] = {}
        self._totals: dict[str, Traffic] = {}

    def totals(self) -> dict[str, Traffic]:
        """By address in 127.0.0.0/8; what was last known if the kernel does not tell."""
        now: dict[int, Traffic] = {}
        with contextlib.suppress(OSError, struct.error):
            for cookie, address, traffic in self._dump():
                now[cookie] = traffic
                more = traffic.since(self._last.get(cookie, NOTHING))
                self._totals[address] = self._totals.get(address, NOTHING).plus(more)
            self._last = now
        return dict(self._totals)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _dump(self) -> Iterator[tuple[int, str, Traffic]]:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
            self._socket.settimeout(1.0)
        request = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0,
                              ESTABLISHED_AND_CLOSING) + bytes(48)  # fmt: skip
        head = HEAD.pack(HEAD.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0)
        self._socket.send(head + request)
        while True:
            data = self._socket.recv(1 << 17)
            at = 0
            while at < len(data):
                length, kind, _, _, _ = HEAD.unpack_from(data, at)
                if kind in (NLMSG_DONE, NLMSG_ERROR) or length < HEAD.size:
                    return
                if found := _parse(data[at + HEAD.size : at + length]):
                    yield found
                at += (length + 3) & ~3


def _parse(message: bytes) -> tuple[int, str, Traffic] | None:
    """(cookie, local address, counters) of one inet_diag_msg with its attributes."""
    # family, state, timer, retrans | ports (2+2) | source 16 | destination 16 | interface 4 | cookie 8 | 5 counters
    address = socket.inet_ntoa(message[8:12])
    if ipaddress.IPv4Address(address) not in LOOPBACK:
        return None
    (cookie,) = struct.unpack_from("=Q", message, 44)
    at = 72
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            return None
        if kind == INET_DIAG_INFO and length >= 4 + ACKED_OFFSET + COUNTERS.size:
            acked, received, segments_out, segments_in = COUNTERS.unpack_from(message, at + 4 + ACKED_OFFSET)
            return cookie, address, Traffic(received, acked, segments_in, segments_out)
        at += (length + 3) & ~3
    return None
