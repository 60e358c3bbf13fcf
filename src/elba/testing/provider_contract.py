"""What every compute provider must do: one suite, run against the fake and each real one.

Subclass `ProviderContract` in a test module and implement `run`:

    class TestFakeProvider(ProviderContract):
        def run(self, scenario): ...   # make a provider, run `scenario(bench)` on a loop, clean up
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from elba.compute.interface import InstanceSpec, NotFound, ObservedInstance, Power, Provider, Sample, Transient


@dataclass
class ContractBench:
    """The provider under test. `restart` answers another object over the same world, as a new control plane has;
    `kill` ends an instance from outside; `sleep` lets the provider's own time pass."""

    provider: Provider
    spec: Callable[[int], InstanceSpec]
    restart: Callable[[], Awaitable[Provider]]
    kill: Callable[[str], Awaitable[None]]
    sleep: Callable[[float], Awaitable[None]]
    seconds: float = 20.0

    async def observed(self, instance_id: str) -> ObservedInstance | None:
        """What `observe` and `find` agree on."""
        found = await self.provider.find(instance_id)
        assert (found is None) == (instance_id not in await self.provider.observe())
        return found

    async def until(self, instance_id: str, power: Power | None) -> ObservedInstance | None:
        """Wait until the instance is in `power` (None = gone)."""
        waited = 0.0
        while True:
            found = await self.observed(instance_id)
            if (found.power if found else None) == power:
                return found
            assert waited < self.seconds, f"{instance_id} is {found}, not {power}"
            await self.sleep(0.05)
            waited += 0.05

    async def launched(self, number: int = 1) -> InstanceSpec:
        """A running instance."""
        spec = self.spec(number)
        await self.provider.launch(spec)
        await self.until(spec.instance_id, Power.RUNNING)
        return spec


Scenario = Callable[[ContractBench], Awaitable[None]]


class ProviderContract:
    """The suite. Each test is a scenario of its own with a new provider."""

    def run(self, scenario: Scenario) -> None:
        raise NotImplementedError

    def test_launch_runs_and_is_observed(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            assert await bench.provider.observe() == {}
            spec = await bench.launched()
            found = await bench.observed(spec.instance_id)
            assert found is not None
            assert found.reachable
            assert not found.exited

        self.run(scenario)

    def test_launching_again_changes_nothing(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = bench.spec(1)
            await asyncio.gather(*(bench.provider.launch(spec) for _ in range(3)))
            await bench.until(spec.instance_id, Power.RUNNING)
            await bench.provider.launch(spec)
            assert list(await bench.provider.observe()) == [spec.instance_id]
            await bench.provider.stop(spec.instance_id)
            await bench.until(spec.instance_id, Power.STOPPED)
            await bench.provider.launch(spec)
            await bench.sleep(0.2)
            await bench.until(spec.instance_id, Power.STOPPED)

        self.run(scenario)

    def test_stop_and_start(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            await bench.provider.stop(spec.instance_id)
            await bench.provider.stop(spec.instance_id)
            found = await bench.until(spec.instance_id, Power.STOPPED)
            assert found is not None
            assert not found.exited
            await bench.provider.start(spec)
            await bench.until(spec.instance_id, Power.RUNNING)
            await bench.provider.start(spec)
            await bench.until(spec.instance_id, Power.RUNNING)

        self.run(scenario)

    def test_forced_stop(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            await bench.provider.stop(spec.instance_id, force=True)
            await bench.until(spec.instance_id, Power.STOPPED)

        self.run(scenario)

    def test_terminate_removes_it_from_any_state(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            running, stopped = await bench.launched(1), await bench.launched(2)
            await bench.provider.stop(stopped.instance_id)
            await bench.until(stopped.instance_id, Power.STOPPED)
            stopping = await bench.launched(3)
            await bench.provider.stop(stopping.instance_id)
            for spec in (running, stopped, stopping):
                await bench.provider.terminate(spec.instance_id)
                await bench.provider.terminate(spec.instance_id)
            for spec in (running, stopped, stopping):
                await bench.until(spec.instance_id, None)
            await bench.provider.terminate(running.instance_id)

        self.run(scenario)

    def test_what_is_not_there(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            absent = bench.spec(7)
            provider = bench.provider
            await provider.stop(absent.instance_id)
            await provider.terminate(absent.instance_id)
            assert await provider.find(absent.instance_id) is None
            await refuses(provider.start(absent))
            await refuses(provider.reboot(absent.instance_id))
            await refuses(provider.console_output(absent.instance_id))
            await refuses(provider.run(absent.instance_id, ["true"]))
            await refuses(provider.snapshot(absent.instance_id, "ami-1"))
            await provider.delete_image("ami-1")

        self.run(scenario)

    def test_an_instance_that_ends_by_itself_has_exited(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            change = asyncio.ensure_future(bench.provider.next_change())
            await bench.sleep(0.1)
            await bench.kill(spec.instance_id)
            await asyncio.wait_for(change, bench.seconds)
            found = await bench.until(spec.instance_id, Power.STOPPED)
            assert found is not None
            assert found.exited
            await bench.provider.start(spec)
            found = await bench.until(spec.instance_id, Power.RUNNING)
            assert found is not None
            assert not found.exited

        self.run(scenario)

    def test_reboot_keeps_it_running(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            await bench.provider.reboot(spec.instance_id)
            await bench.sleep(0.3)
            found = await bench.until(spec.instance_id, Power.RUNNING)
            assert found is not None
            assert not found.exited

        self.run(scenario)

    def test_a_new_control_plane_finds_everything(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            up, down = await bench.launched(1), await bench.launched(2)
            await bench.provider.stop(down.instance_id)
            await bench.until(down.instance_id, Power.STOPPED)
            bench.provider = await bench.restart()
            observed = await bench.provider.observe()
            assert {id_: o.power for id_, o in observed.items()} == {
                up.instance_id: Power.RUNNING,
                down.instance_id: Power.STOPPED,
            }
            assert not observed[down.instance_id].exited
            await bench.provider.start(down)
            await bench.until(down.instance_id, Power.RUNNING)

        self.run(scenario)

    def test_samples_only_grow(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            stopped = await bench.launched(2)
            await bench.provider.stop(stopped.instance_id)
            await bench.until(stopped.instance_id, Power.STOPPED)
            first = await one_sample(bench.provider, spec.instance_id)
            await bench.sleep(0.3)
            second = await one_sample(bench.provider, spec.instance_id)
            assert second.time > first.time
            assert second.cpu_seconds >= first.cpu_seconds
            assert 0 < second.vcpus <= spec.vcpus

        self.run(scenario)

    def test_run_and_console(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            assert await bench.provider.run(spec.instance_id, ["true"]) > 0
            assert isinstance(await bench.provider.console_output(spec.instance_id), bytes)
            await bench.provider.stop(spec.instance_id)
            await bench.until(spec.instance_id, Power.STOPPED)
            await refuses(bench.provider.run(spec.instance_id, ["true"]))

        self.run(scenario)

    def test_an_image_of_an_instance_can_be_launched(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            path = await bench.provider.snapshot(spec.instance_id, "ami-1")
            assert path
            assert await bench.provider.snapshot(spec.instance_id, "ami-1") == path
            await bench.provider.terminate(spec.instance_id)
            await bench.until(spec.instance_id, None)
            from_image = replace(bench.spec(2), image_path=path)
            await bench.provider.launch(from_image)
            await bench.until(from_image.instance_id, Power.RUNNING)
            await bench.provider.delete_image("ami-1")

        self.run(scenario)

    def test_a_new_root_is_that_of_a_first_boot(self) -> None:
        async def scenario(bench: ContractBench) -> None:
            spec = await bench.launched()
            try:
                await bench.provider.replace_root(spec)
            except Transient:
                pass
            else:
                raise AssertionError("the root of a running instance was replaced")
            await bench.provider.stop(spec.instance_id)
            await bench.until(spec.instance_id, Power.STOPPED)
            await bench.provider.replace_root(spec)
            await bench.provider.replace_root(spec)
            observed = await bench.provider.find(spec.instance_id)
            assert observed is not None
            assert observed.power is Power.STOPPED
            await bench.provider.start(spec)
            await bench.until(spec.instance_id, Power.RUNNING)
            await refuses(bench.provider.replace_root(bench.spec(9)))

        self.run(scenario)


async def one_sample(provider: Provider, instance_id: str) -> Sample:
    """The only running instance's sample."""
    (sample,) = await provider.sample()
    assert sample.instance_id == instance_id
    return sample


async def refuses(call: Awaitable[object]) -> None:
    """`call` must raise NotFound."""
    try:
        await call
    except NotFound:
        return
    raise AssertionError("did not raise NotFound")
