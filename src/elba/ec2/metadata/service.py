"""Serves each instance its metadata on the instance's own host address, as 169.254.169.254 does on AWS.

Who asks is told by the address that was asked: any process of this host can ask for any instance. Listeners follow
the store: they open before an instance boots and close when it is gone or stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from aiohttp import web

from elba.call import Call
from elba.ec2.launch import METADATA_PORT
from elba.ec2.metadata.answers import Response, respond
from elba.ec2.metadata.categories import EC2, credentials_of, role_of
from elba.ec2.resources import Instance
from elba.errors import StoreError
from elba.parts import Parts
from elba.resource import Key
from elba.store.interface import Transaction
from elba.sts.commands import role_session
from elba.sts.trust import may_assume

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 5.0
"""The world's time; for addresses that were taken."""

CREDENTIALS_SECONDS = 6 * 3600.0
REFRESH_SECONDS = 900.0
"""Credentials that expire sooner than this are replaced when they are asked for."""

CAUSE = "ec2.metadata"


class MetadataService:
    """One listener per instance that is up or coming up, at `http://<host address>:1338`."""

    name = "ec2.metadata"

    def __init__(self, parts: Parts, port: int = METADATA_PORT) -> None:
        self._parts = parts
        self._store = parts.store
        self._port = port
        self._changed = asyncio.Event()
        self._sites: dict[str, web.TCPSite] = {}
        self._by_address: dict[str, Key] = {}
        self._refused: set[str] = set()
        self._without_token: dict[str, int] = {}
        self._key = _token_key(parts.settings.get("data_dir", ""))
        self._store.subscribe(self._on_change)

    async def run(self) -> None:
        runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await runner.setup()
        try:
            while True:
                self._changed.clear()
                await self._follow(runner)
                try:
                    await asyncio.wait_for(self._changed.wait(), LOOK_AGAIN_SECONDS if self._refused else None)
                except TimeoutError:
                    continue
        finally:
            self._sites.clear()
            await runner.cleanup()

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return list(self._sites)

    def take_requests_without_token(self) -> Mapping[str, int]:
        """How often each instance used version 1 since the last call, by instance id."""
        taken, self._without_token = self._without_token, {}
        return taken

    def _on_change(self, keys: Iterable[Key]) -> None:
        if any(key.kind == Instance.KIND for key in keys):
            self._changed.set()

    async def _follow(self, runner: web.ServerRunner) -> None:
        """Open and close listeners until they are those the store asks for."""
        wanted = {
            instance.host_address: instance.key
            for instance in self._store.view.all(Instance)
            if instance.state not in ("stopped", "terminated") and instance.host_address
        }
        self._by_address = wanted
        for address in [a for a in self._sites if a not in wanted]:
            await self._sites.pop(address).stop()
        self._refused &= wanted.keys()
        for address in wanted.keys() - self._sites.keys():
            site = web.TCPSite(runner, address, self._port, reuse_address=True)
            try:
                await site.start()
            except OSError as error:
                await site.stop()
                if address not in self._refused:
                    log.warning(
                        "no metadata service for an instance",
                        extra={"resource": wanted[address].id, "cause": f"{address}:{self._port}: {error}"},
                    )
                self._refused.add(address)
            else:
                self._sites[address] = site
                self._refused.discard(address)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        key = self._by_address.get(transport.get_extra_info("sockname")[0]) if transport is not None else None
        instance = self._store.view.get(Instance, key.account, key.region, key.id) if key is not None else None
        if instance is None:
            return web.Response(status=404)
        wall = self._parts.clock.wall()
        if "/iam/" in request.path and request.method in ("GET", "HEAD"):
            await self._ensure_credentials(instance, wall)
        headers = {name.lower(): value for name, value in request.headers.items()}
        found = respond(self._store.view, instance, request.method, request.path, headers, wall, self._key)
        if found.without_token:
            self._without_token[instance.id] = self._without_token.get(instance.id, 0) + 1
        if found.is_token and transport is not None:
            # As on AWS, where it keeps the token from getting past the instance's own network.
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, instance.http_put_response_hop_limit)
        return _rendered(found)

    async def _ensure_credentials(self, instance: Instance, wall: float) -> None:
        """Have credentials of the instance's role in the store that are good for a while."""
        found = role_of(self._store.view, instance)
        if found is None or credentials_of(self._store.view, instance, found[1], wall + REFRESH_SECONDS):
            return
        call = Call(account=instance.account, region=instance.region, now=wall, ids=self._parts.ids, cause=CAUSE)

        def command(tx: Transaction) -> None:
            current = role_of(tx, instance)
            if current is not None and may_assume(current[1].assume_role_policy_document, EC2):
                role_session(tx, call, current[1], instance.id, CREDENTIALS_SECONDS)

        try:
            await self._store.write(command, CAUSE)
        except StoreError:
            log.warning("no new credentials for an instance", exc_info=True, extra={"resource": instance.id})


def _rendered(found: Response) -> web.Response:
    return web.Response(
        status=found.status,
        body=found.body,
        headers={"Server": "EC2ws", **found.headers, "Content-Type": found.content_type},
    )


def _token_key(data_directory: str) -> bytes:
    """The key that signs tokens, kept in the data directory so that tokens outlive a restart."""
    if not data_directory:
        return secrets.token_bytes(32)
    path = Path(data_directory) / "metadata-key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key)
        return key
