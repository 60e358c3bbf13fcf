"""The fake keeps the contract, and its knobs do what they say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from elba.clock import VirtualClock
from elba.compute.fake import FakeProvider
from elba.compute.interface import InstanceSpec, NoCapacity, Power
from elba.testing import VirtualLoop
from elba.testing.provider_contract import ContractBench, ProviderContract, Scenario


def a_spec(number: int = 1, **changes: Any) -> InstanceSpec:
    values: dict[str, Any] = {
        "instance_id": f"i-{number:017x}",
        "account": "000000000000",
        "region": "us-east-1",
        "zone": "us-east-1a",
        "image_id": "ami-1",
        "instance_type": "t3.micro",
        "vcpus": 2,
        "memory_mib": 1024,
        "private_address": f"172.31.0.{number + 3}",
        "host_address": f"127.16.0.{number + 3}",
    }
    return InstanceSpec(**(values | changes))


def run(story: Callable[[VirtualClock, FakeProvider], Awaitable[None]], boot_seconds: float = 5.0) -> None:
    loop = VirtualLoop()
    clock = VirtualClock()

    async def whole() -> None:
        await story(clock, FakeProvider(clock, boot_seconds=boot_seconds))

    try:
        loop.run(whole())
    finally:
        loop.close()


class TestFakeProvider(ProviderContract):
    def run(self, scenario: Scenario) -> None:
        async def story(clock: VirtualClock, provider: FakeProvider) -> None:
            async def restart() -> FakeProvider:
                await provider.close()
                return provider

            async def kill(instance_id: str) -> None:
                provider.die(instance_id)

            await scenario(ContractBench(provider=provider, spec=a_spec, restart=restart, kill=kill, sleep=clock.sleep))

        run(story)


def test_boots_in_its_time() -> None:
    async def story(clock: VirtualClock, provider: FakeProvider) -> None:
        await provider.launch(a_spec())
        await clock.sleep(29.9)
        assert (await provider.observe())[a_spec().instance_id].power is Power.PENDING
        await clock.sleep(0.2)
        assert provider.running() == [a_spec()]

    run(story, boot_seconds=30)


def test_capacity_per_zone_and_type() -> None:
    async def story(clock: VirtualClock, provider: FakeProvider) -> None:
        provider.limit_capacity(1, zone="us-east-1a")
        await provider.launch(a_spec(1))
        with pytest.raises(NoCapacity):
            await provider.launch(a_spec(2))
        await provider.launch(a_spec(3, zone="us-east-1b"))
        provider.limit_capacity(5, zone="us-east-1a")
        provider.limit_capacity(2, instance_type="t3.micro")
        with pytest.raises(NoCapacity):
            await provider.launch(a_spec(4))
        await provider.launch(a_spec(4, instance_type="m5.large"))

    run(story)


async def cpu(provider: FakeProvider) -> dict[str, float]:
    return {s.instance_id: s.cpu_seconds for s in await provider.sample()}


def test_a_load_is_shared_by_what_runs() -> None:
    async def story(clock: VirtualClock, provider: FakeProvider) -> None:
        one, two = a_spec(1), a_spec(2)
        await provider.launch(one)
        await clock.sleep(0.001)
        provider.set_load(3.0)
        await clock.sleep(100)
        # Its two vCPUs are all it can use.
        assert (await cpu(provider))[one.instance_id] == pytest.approx(200)
        await provider.launch(two)
        await clock.sleep(100)
        used = await cpu(provider)
        assert used[one.instance_id] == pytest.approx(350)
        assert used[two.instance_id] == pytest.approx(150)
        provider.die(one.instance_id)
        provider.set_cpu(two.instance_id, 25)
        await clock.sleep(10)
        assert (await cpu(provider))[two.instance_id] == pytest.approx(155)

    run(story, boot_seconds=0)


def test_a_changing_load_is_integrated() -> None:
    async def story(clock: VirtualClock, provider: FakeProvider) -> None:
        await provider.launch(a_spec())
        await clock.sleep(0)
        await clock.sleep(0.001)
        begun = clock.now()
        provider.set_load(lambda now: (now - begun) / 100)
        await clock.sleep(100)
        assert (await cpu(provider))[a_spec().instance_id] == pytest.approx(50, rel=0.01)

    run(story, boot_seconds=0)


def test_traffic() -> None:
    async def story(clock: VirtualClock, provider: FakeProvider) -> None:
        await provider.launch(a_spec())
        await clock.sleep(0.001)
        provider.set_network(a_spec().instance_id, 1000, 10)
        await clock.sleep(60)
        (sample,) = await provider.sample()
        assert (sample.network_in_bytes, sample.network_out_bytes) == (60000, 600)

    run(story, boot_seconds=0)
