"""The metadata service over real sockets, with botocore's own fetcher, and asked from inside a real instance."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.utils import InstanceMetadataFetcher
from msgspec.structs import replace

from elba.clock import RealClock
from elba.compute.interface import Power
from elba.compute.process import ProcessProvider
from elba.ec2.metadata.service import MetadataService
from elba.ec2.reconcilers import InstanceReconciler, InstanceWatcher
from elba.ec2.resources import Instance
from elba.iam.resources import GLOBAL, AccessKey
from elba.ids import IdSource
from elba.parts import Parts
from elba.reconcile import ReconcileQueue
from elba.store.interface import Store
from elba.store.memory import MemoryEngine

from ...unit.ec2_metadata.test_answers import a_role, a_store, an_instance

pytestmark = pytest.mark.integration

WAIT_SECONDS = 30.0
SLICE = 150 + os.getpid() % 50
ADDRESS = f"127.{SLICE}.0.4"
ENDPOINT = f"http://{ADDRESS}:1338"


class Sink:
    def put(self, datapoints: Any) -> None:
        return None


class Bench:
    def __init__(self, directory: Path) -> None:
        self.store = Store(MemoryEngine(), time.time)
        self.provider = ProcessProvider(directory, grace_seconds=1.0)
        self.parts = Parts(
            store=self.store,
            clock=RealClock(),
            ids=IdSource(),
            provider=self.provider,
            nodes=None,  # type: ignore[arg-type]  # EC2 has no use for zone nodes
            metrics=Sink(),
            settings={"data_dir": str(directory), "endpoint": "http://127.0.0.1:4566"},
        )
        self.service = MetadataService(self.parts)

    async def put(self, *resources: Any) -> None:
        await self.store.write(lambda tx: [tx.put(r) for r in resources], "test")

    async def change(self, id_: str, **changes: Any) -> None:
        def command(tx: Any) -> None:
            tx.put(replace(tx.get(Instance, "123456789012", "us-east-1", id_), **changes))

        await self.store.write(command, "test")

    def get(self, id_: str) -> Instance:
        found = self.store.view.get(Instance, "123456789012", "us-east-1", id_)
        assert found is not None
        return found

    async def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < end, "did not come about"
            await asyncio.sleep(0.02)


def run(directory: Path, story: Any) -> None:
    async def whole() -> None:
        bench = Bench(directory)
        await bench.store.open()
        await bench.put(*a_store())
        serving = asyncio.create_task(bench.service.run())
        try:
            await story(bench)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            for id_ in await bench.provider.observe():
                await bench.provider.terminate(id_)
            end = time.monotonic() + WAIT_SECONDS
            while await bench.provider.observe() and time.monotonic() < end:  # noqa: ASYNC110 - the world has no events
                await asyncio.sleep(0.02)
            await bench.provider.close()

    asyncio.run(whole())


def test_listeners_follow_the_instances(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        other = f"127.{SLICE}.0.5"
        await bench.put(an_instance(host_address=ADDRESS), an_instance(id="i-2", host_address=other))
        await bench.until(lambda: set(bench.service.addresses) == {ADDRESS, other})
        async with aiohttp.ClientSession() as session:
            for address, id_ in ((ADDRESS, "i-1"), (other, "i-2")):
                async with session.get(f"http://{address}:1338/latest/meta-data/instance-id") as answer:
                    assert (answer.status, await answer.text()) == (200, id_)
        assert bench.service.take_requests_without_token() == {"i-1": 1, "i-2": 1}
        assert bench.service.take_requests_without_token() == {}
        await bench.change("i-2", state="terminated")
        await bench.until(lambda: bench.service.addresses == [ADDRESS])
        with pytest.raises(OSError):
            await asyncio.open_connection(other, 1338)
        await bench.change("i-2", state="pending")
        await bench.until(lambda: len(bench.service.addresses) == 2)

    run(tmp_path, story)


def test_botocore_gets_credentials_that_the_store_knows(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.put(an_instance(host_address=ADDRESS, http_tokens="required"))
        await bench.until(lambda: bench.service.addresses)
        fetcher = InstanceMetadataFetcher(base_url=ENDPOINT, timeout=5, num_attempts=1)
        found = await asyncio.to_thread(fetcher.retrieve_iam_role_credentials)
        key = bench.store.view.get(AccessKey, "123456789012", GLOBAL, found["access_key"])
        assert key is not None
        assert found["role_name"] == "App"
        assert found["secret_key"] == key.secret_access_key
        assert found["token"] == key.session_token
        assert key.owner_arn == "arn:aws:sts::123456789012:assumed-role/App/i-1"
        assert key.expiration > time.time() + 3600
        again = await asyncio.to_thread(fetcher.retrieve_iam_role_credentials)
        assert again["access_key"] == found["access_key"]
        await bench.put(replace(key, expiration=time.time() + 600))
        fresh = await asyncio.to_thread(fetcher.retrieve_iam_role_credentials)
        assert fresh["access_key"] != found["access_key"]
        await bench.put(a_role(assume_role_policy_document='{"Statement": []}'))
        assert await asyncio.to_thread(fetcher.retrieve_iam_role_credentials) == {}

    run(tmp_path, story)


def test_an_address_that_is_taken_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import elba.ec2.metadata.service as service

    monkeypatch.setattr(service, "LOOK_AGAIN_SECONDS", 0.1)

    async def story(bench: Bench) -> None:
        taken = await asyncio.start_server(lambda r, w: w.close(), ADDRESS, 1338)
        await bench.put(an_instance(host_address=ADDRESS))
        await asyncio.sleep(0.3)
        assert bench.service.addresses == []
        taken.close()
        await taken.wait_closed()
        await bench.until(lambda: bench.service.addresses == [ADDRESS])

    run(tmp_path, story)


USER_DATA = b"""#!/bin/sh
"$ELBA_PYTHON" - >"$HOME/answer" <<'END'
import os, urllib.request
base = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
token = urllib.request.urlopen(urllib.request.Request(
    base + "/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})).read().decode()
for path in ("meta-data/instance-id", "meta-data/placement/availability-zone"):
    print(urllib.request.urlopen(urllib.request.Request(
        base + "/latest/" + path, headers={"X-aws-ec2-metadata-token": token})).read().decode())
END
mv "$HOME/answer" "$HOME/done"
"""


def test_an_instance_from_launch_to_its_own_shutdown(tmp_path: Path) -> None:
    """Store, reconciler, watcher, process and metadata service together, in the world's time."""
    import base64

    async def story(bench: Bench) -> None:
        reconciler = InstanceReconciler(bench.parts)
        queue = ReconcileQueue(bench.store, bench.parts.clock, [reconciler])
        queue.start()
        watching = asyncio.create_task(InstanceWatcher(bench.parts, reconciler).run())
        try:
            begun = time.monotonic()
            instance = an_instance(
                host_address=ADDRESS, http_tokens="required", user_data=base64.b64encode(USER_DATA).decode()
            )
            await bench.put(instance)
            await bench.until(lambda: bench.get("i-1").state == "running")
            print(f"running after {time.monotonic() - begun:.3f} s")
            answer = tmp_path / "instances/i-1/root/done"
            await bench.until(answer.exists)
            assert answer.read_text() == "i-1\nus-east-1a\n"
            await bench.provider.run("i-1", ["shutdown", "now"])
            asked = time.monotonic()
            await bench.until(lambda: bench.get("i-1").state == "stopped")
            print(f"noticed after {time.monotonic() - asked:.3f} s")
            assert bench.get("i-1").state_reason_code == "Client.InstanceInitiatedShutdown"
            await bench.until(lambda: bench.service.addresses == [])
            await bench.change("i-1", desired="running", state="pending", boots=1)
            await bench.until(lambda: bench.get("i-1").state == "running")
            await bench.change("i-1", desired="terminated", state="shutting-down")
            await bench.until(lambda: bench.get("i-1").state == "terminated")
            assert not (tmp_path / "instances/i-1").exists()
            assert await bench.provider.observe() == {}
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await queue.stop()

    run(tmp_path, story)


def test_a_restarted_control_plane_takes_over_what_runs(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        reconciler = InstanceReconciler(bench.parts)
        await bench.put(an_instance(host_address=ADDRESS))
        queue = ReconcileQueue(bench.store, bench.parts.clock, [reconciler])
        queue.start()
        await bench.until(lambda: bench.get("i-1").state == "running")
        pid = bench.provider.supervisor_pid("i-1")
        await queue.stop()
        await bench.provider.close()

        bench.provider = ProcessProvider(tmp_path, grace_seconds=1.0)
        parts = replace_parts(bench.parts, bench.provider)
        reconciler = InstanceReconciler(parts)
        queue = ReconcileQueue(bench.store, parts.clock, [reconciler])
        queue.start()
        watching = asyncio.create_task(InstanceWatcher(parts, reconciler).run())
        try:
            await bench.until(lambda: queue.idle)
            found = await bench.provider.find("i-1")
            assert found is not None
            assert found.power is Power.RUNNING
            assert bench.provider.supervisor_pid("i-1") == pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
            await bench.until(lambda: bench.get("i-1").state == "stopped")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await queue.stop()

    run(tmp_path, story)


def replace_parts(parts: Parts, provider: ProcessProvider) -> Parts:
    import dataclasses

    return dataclasses.replace(parts, provider=provider)
