"""Real instances: process trees that outlive the control plane, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from elba.compute.interface import InstanceSpec, NoCapacity, NotFound, Permanent, Power, ProviderError
from elba.compute.process import ProcessProvider
from elba.testing.provider_contract import ContractBench, ProviderContract, Scenario

pytestmark = pytest.mark.integration

WAIT_SECONDS = 30.0
SLICE = 200 + os.getpid() % 50
"""The tests' part of 127.0.0.0/8: two runs at once rarely meet."""

MODES = {
    "isolated": {"namespaces": True, "cgroups": True},
    "plain": {"namespaces": False, "cgroups": False},
}


def processes_of(directory: Path) -> list[str]:
    """Command lines of all processes that belong to instances in `directory`."""
    found = []
    mark = f"={directory.resolve()}/instances/".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if mark in (entry / "environ").read_bytes() or f"{directory.resolve()}/instances/".encode() in command:
                found.append(f"{entry.name} {command.decode()}")
    return found


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> dict[str, bool]:
    return MODES[request.param]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = processes_of(tmp_path)
    for line in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)
    assert left == [], "processes were left behind"


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
        "host_address": f"127.{SLICE}.0.{number + 3}",
        "environment": {"PORT": "8080"},
    }
    return InstanceSpec(**(values | changes))


Story = Callable[[ContractBench], Awaitable[None]]


def run_story(directory: Path, story: Story, runner: Callable[[Any], None] = asyncio.run, **options: Any) -> None:
    options = {"grace_seconds": 1.0} | options

    async def whole() -> None:
        bench: ContractBench

        async def restart() -> ProcessProvider:
            await bench.provider.close()
            return ProcessProvider(directory, **options)

        async def kill(instance_id: str) -> None:
            provider = bench.provider
            assert isinstance(provider, ProcessProvider)
            os.kill(provider.supervisor_pid(instance_id), signal.SIGKILL)

        bench = ContractBench(
            provider=ProcessProvider(directory, **options),
            spec=a_spec,
            restart=restart,
            kill=kill,
            sleep=asyncio.sleep,
            seconds=WAIT_SECONDS,
        )
        try:
            await story(bench)
        finally:
            for instance_id in await bench.provider.observe():
                await bench.provider.terminate(instance_id)
            end = time.monotonic() + WAIT_SECONDS
            while await bench.provider.observe() and time.monotonic() < end:  # noqa: ASYNC110 - the world has no events
                await asyncio.sleep(0.02)
            await bench.provider.close()

    runner(whole())


class TestProcessProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _where(self, directory: Path, mode: dict[str, bool]) -> None:
        self.directory, self.mode = directory, mode

    def run(self, scenario: Scenario) -> None:
        run_story(self.directory, scenario, **self.mode)


async def until(condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "did not come about"
        await asyncio.sleep(0.02)
    return found


async def get(address: str, path: str = "/", port: int = 8080) -> str | None:
    """The body of an answer with status 200; None if there is none."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except OSError:
        return None
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        return body if head[8:].startswith(" 200") else None
    except OSError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answers(spec: InstanceSpec) -> str:
    end = time.monotonic() + WAIT_SECONDS
    while not (body := await get(spec.host_address)):
        assert time.monotonic() < end, "the web app does not answer"
        await asyncio.sleep(0.02)
    return body


def root_of(directory: Path, spec: InstanceSpec) -> Path:
    return directory / "instances" / spec.instance_id / "root"


def test_the_default_web_app_says_who_it_is(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        body = await answers(spec)
        assert f"instance {spec.instance_id}\n" in body
        assert "zone us-east-1a\n" in body
        assert await get(spec.host_address, "/health") == "ok\n"
        assert await get(spec.host_address, "/nothing") is None
        await bench.provider.reboot(spec.instance_id)
        await bench.sleep(0.1)
        await answers(spec)

    run_story(directory, story, **mode)


USER_DATA = b"""#!/bin/sh
echo "hello from $INSTANCE_ID"
echo x >>"$HOME/count"
env >"$HOME/env"
(setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' &)
exit 3
"""


def test_user_data_runs_once_and_a_failing_script_does_no_harm(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=USER_DATA, environment={"PORT": "8080", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"})
        root = root_of(directory, spec)
        await bench.provider.launch(spec)
        await answers(spec)
        await bench.provider.stop(spec.instance_id)
        await bench.until(spec.instance_id, Power.STOPPED)
        assert processes_of(directory) == [], "a daemon that ignores TERM is ended all the same"
        bench.provider = await bench.restart()
        await bench.provider.start(spec)
        await answers(spec)
        await bench.provider.reboot(spec.instance_id)
        await bench.sleep(0.2)
        await answers(spec)
        assert (root / "count").read_text() == "x\n"
        assert f"hello from {spec.instance_id}\n" in (root / "var/log/cloud-init-output.log").read_text()
        console = (await bench.provider.console_output(spec.instance_id)).decode()
        assert f"hello from {spec.instance_id}\n" in console
        assert "part-001 of user data failed: exit code 3" in console
        environment = dict(line.split("=", 1) for line in (root / "env").read_text().splitlines())
        assert environment["ELBA_ADDRESS"] == spec.host_address
        assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
        assert environment["AWS_REGION"] == "us-east-1"
        assert environment["PATH"].startswith(f"{root}/bin:")

    run_story(directory, story, **mode)


def test_cloud_config(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        data = b"""#cloud-config
hostname: web-7
write_files:
  - path: /etc/app/../app.conf
    content: a=1
  - path: ../../outside
    content: inside
runcmd:
  - "false"
  - hostname >$HOME/name
  - [touch, done]
"""
        spec = a_spec(user_data=data)
        root = root_of(directory, spec)
        await bench.provider.launch(spec)
        await until(lambda: (root / "done").exists())
        assert (root / "etc/app.conf").read_text() == "a=1"
        assert (root / "outside").read_text() == "inside"
        assert "web-7" in await answers(spec)

    run_story(directory, story)


SERVER = b"""#!/bin/sh
cd "$HOME"
mkdir -p site && echo mine >site/index.html
nohup "$ELBA_PYTHON" -m http.server --bind "$ELBA_ADDRESS" --directory site "$PORT" >/dev/null 2>&1 &
"""


def test_a_server_of_the_user_takes_the_default_apps_place(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=SERVER)
        await bench.provider.launch(spec)
        assert await answers(spec) == "mine\n"
        await until(lambda: (root_of(directory, spec) / "etc/elba/disabled/web").exists())
        assert await get(spec.host_address) == "mine\n"

    run_story(directory, story)


@pytest.mark.parametrize(
    "command",
    [["shutdown", "-h", "now"], ["sudo", "-n", "poweroff"], ["sh", "-c", "kill -USR1 $ELBA_INIT_PID"]],
)
def test_shutdown_inside(directory: Path, mode: dict[str, bool], command: list[str]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        await answers(spec)
        await bench.provider.run(spec.instance_id, command)
        found = await bench.until(spec.instance_id, Power.STOPPED)
        assert found is not None
        assert found.exited
        assert processes_of(directory) == []

    run_story(directory, story, **mode)


def test_reboot_inside(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        await answers(spec)
        await bench.provider.run(spec.instance_id, ["reboot"])
        console = directory / "instances" / spec.instance_id / "console.log"
        await until(lambda: console.read_text().count("web: listening") == 2)
        found = await bench.until(spec.instance_id, Power.RUNNING)
        assert found is not None
        assert not found.exited

    run_story(directory, story, **mode)


TREE = b"""#!/bin/sh
(setsid sh -c '(setsid sleep 1000 &) ; sleep 1000' &)
sleep 1000
"""


def test_a_killed_supervisor_takes_its_whole_tree_along(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=TREE)
        await bench.provider.launch(spec)
        await until(lambda: sum("sleep" in line for line in processes_of(directory)) >= 3)
        await bench.kill(spec.instance_id)
        found = await bench.until(spec.instance_id, Power.STOPPED)
        assert found is not None
        assert found.exited
        assert processes_of(directory) == []

    run_story(directory, story, **mode)


def test_a_supervisor_killed_while_no_control_plane_ran(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=TREE)
        await bench.provider.launch(spec)
        await until(lambda: sum("sleep" in line for line in processes_of(directory)) >= 3)
        assert isinstance(bench.provider, ProcessProvider)
        pid = bench.provider.supervisor_pid(spec.instance_id)
        restarting = bench.restart()
        bench.provider = await restarting
        os.kill(pid, signal.SIGKILL)
        observed = await bench.provider.observe()
        if observed[spec.instance_id].power is not Power.STOPPED:  # seen a moment before the kernel was done
            await bench.until(spec.instance_id, Power.STOPPED)
        assert (await bench.provider.observe())[spec.instance_id].exited
        assert processes_of(directory) == []

    run_story(directory, story, **mode)


def test_a_hanging_supervisor_is_unreachable_and_can_be_ended(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import elba.compute.process.link as link

    monkeypatch.setattr(link, "ANSWER_SECONDS", 0.2)

    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        assert isinstance(bench.provider, ProcessProvider)
        os.kill(bench.provider.supervisor_pid(spec.instance_id), signal.SIGSTOP)
        end = time.monotonic() + WAIT_SECONDS
        while (found := await bench.provider.find(spec.instance_id)) and found.reachable:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        assert found is not None
        assert found.power is Power.RUNNING and found.host_failed
        await bench.provider.stop(spec.instance_id, force=True)
        await bench.until(spec.instance_id, Power.STOPPED)
        # As a recovery does: it goes on where its host can carry it.
        await bench.provider.start(spec)
        await bench.until(spec.instance_id, Power.RUNNING)
        await answers(spec)
        found = await bench.provider.find(spec.instance_id)
        assert found is not None and found.reachable and not found.host_failed

    run_story(directory, story, grace_seconds=0.2)


def test_cpu_is_measured_and_stress_makes_it(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        await answers(spec)

        async def used(seconds: float) -> float:
            (before,) = await bench.provider.sample()
            await bench.sleep(seconds)
            (after,) = await bench.provider.sample()
            return (after.cpu_seconds - before.cpu_seconds) / (after.time - before.time)

        idle = await used(0.5)
        assert idle < 0.1
        await bench.provider.run(spec.instance_id, ["elba-stress", "--cpu", "2"])
        await bench.sleep(0.3)
        # Other work may take most of the host, not all.
        assert await used(1.0) > 0.15
        await bench.provider.run(spec.instance_id, ["elba-stress", "stop"])
        await until(lambda: not any("stress.py" in line for line in processes_of(directory)))
        (sample,) = await bench.provider.sample()
        assert sample.cpu_seconds > 0.15, "what ended processes used still counts"

    run_story(directory, story, **mode)


def test_network_bytes_of_an_open_connection(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        await answers(spec)
        (before,) = await bench.provider.sample()
        reader, writer = await asyncio.open_connection(spec.host_address, 8080)
        for _ in range(100):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        (after,) = await bench.provider.sample()
        writer.close()
        await writer.wait_closed()
        assert after.network_in_bytes - before.network_in_bytes == 100 * len(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert after.network_out_bytes - before.network_out_bytes > 100 * 100
        assert after.network_packets_in - before.network_packets_in >= 100
        assert after.network_packets_out - before.network_packets_out >= 100

    run_story(directory, story)


def test_limits(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        first = await bench.launched(1)
        with pytest.raises(NoCapacity):
            await bench.provider.launch(a_spec(2, memory_mib=2048))
        await bench.launched(2)
        with pytest.raises(NoCapacity):
            await bench.provider.launch(a_spec(3, memory_mib=0))
        await bench.provider.stop(first.instance_id)
        await bench.until(first.instance_id, Power.STOPPED)
        await bench.launched(3)
        with pytest.raises(NoCapacity):
            await bench.provider.start(first)

    run_story(directory, story, max_instances=2, memory_mib=2560)


def test_an_image_that_is_gone_is_permanent(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        with pytest.raises(Permanent):
            await bench.provider.launch(a_spec(image_path=str(directory / "nothing")))
        await bench.provider.terminate(a_spec().instance_id)
        end = time.monotonic() + WAIT_SECONDS
        while await bench.provider.observe():
            assert time.monotonic() < end
            await asyncio.sleep(0.02)

    run_story(directory, story)


def change_image(image: Path) -> None:
    (image / "from-image").write_text("new")
    for name in ("dirty", "count"):
        (image / name).unlink()


def test_a_new_root_has_the_images_files_and_user_data_runs_again(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=b"#!/bin/sh\necho x >>$HOME/count; touch $HOME/dirty", image_path="")
        root = root_of(directory, spec)
        await bench.provider.launch(spec)
        await until(lambda: (root / "dirty").exists())
        image = await bench.provider.snapshot(spec.instance_id, "ami-2")
        change_image(Path(image))
        await bench.provider.stop(spec.instance_id)
        await bench.until(spec.instance_id, Power.STOPPED)
        (root / "left").write_text("old")
        other = msgspec.structs.replace(spec, image_id="ami-2", image_path=image)
        with pytest.raises(Permanent):
            await bench.provider.replace_root(msgspec.structs.replace(spec, image_path=image + "-gone"))
        assert (root / "left").exists(), "nothing is touched for an image that is gone"
        await bench.provider.replace_root(other)
        assert not (root / "left").exists()
        assert not (root / "dirty").exists()
        assert (root / "from-image").read_text() == "new"
        # A control plane that begins anew finds it stopped, not new.
        bench.provider = await bench.restart()
        await bench.until(spec.instance_id, Power.STOPPED)
        await bench.provider.start(other)
        await until(lambda: (root / "dirty").exists())
        assert (root / "count").read_text() == "x\n"
        console = (await bench.provider.console_output(spec.instance_id)).decode()
        assert console.count(f"{spec.instance_id} boots as") == 2

    run_story(directory, story, **mode)


def test_an_image_holds_the_files_and_user_data_runs_in_its_instances(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=b"#!/bin/sh\necho made >made; mkfifo pipe; ln -s made link")
        await bench.provider.launch(spec)
        await answers(spec)
        path = Path(await bench.provider.snapshot(spec.instance_id, "ami-1"))
        assert (path / "made").read_text() == "made\n"
        assert (path / "link").is_symlink()
        assert not (path / "pipe").exists()
        assert not (path / "var/lib/cloud").exists()
        other = a_spec(2, user_data=b"#!/bin/sh\ncp made copied", image_path=str(path))
        await bench.provider.launch(other)
        await until(lambda: (root_of(directory, other) / "copied").exists())

    run_story(directory, story)


def test_a_tool_beside_the_control_plane_runs_commands_and_touches_nothing_else(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        beside = ProcessProvider(directory)
        assert await beside.run(spec.instance_id, ["touch", "here"]) > 0
        with pytest.raises(NotFound):
            await beside.run("i-absent", ["true"])
        await beside.close()
        await until(lambda: (root_of(directory, spec) / "here").exists())
        await bench.until(spec.instance_id, Power.RUNNING)

    run_story(directory, story)


def test_on_uvloop(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        await answers(spec)
        await bench.kill(spec.instance_id)
        await bench.until(spec.instance_id, Power.STOPPED)
        await bench.provider.start(spec)
        await bench.provider.stop(spec.instance_id)
        await bench.until(spec.instance_id, Power.STOPPED)

    run_story(directory, story, runner=uvloop.run)


CONTROL_PLANE = """
import asyncio, sys, msgspec
from pathlib import Path
from elba.compute.interface import InstanceSpec
from elba.compute.process import ProcessProvider

async def main():
    wanted = sys.argv[3] == "True"
    provider = ProcessProvider(Path(sys.argv[1]), namespaces=wanted, cgroups=wanted)
    spec = msgspec.json.decode(sys.argv[2], type=InstanceSpec)
    await provider.launch(spec)
    print(provider.supervisor_pid(spec.instance_id), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_instances_survive_the_sudden_death_of_the_control_plane(directory: Path, mode: dict[str, bool]) -> None:
    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=b"#!/bin/sh\necho x >>$HOME/count")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CONTROL_PLANE,
            str(directory),
            msgspec.json.encode(spec).decode(),
            str(mode["cgroups"]),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        pid = int(await asyncio.wait_for(process.stdout.readline(), WAIT_SECONDS))
        process.kill()
        await process.wait()
        await answers(spec)
        assert isinstance(bench.provider, ProcessProvider)
        await bench.until(spec.instance_id, Power.RUNNING)
        assert bench.provider.supervisor_pid(spec.instance_id) == pid
        await bench.provider.launch(spec)
        await bench.sleep(0.1)
        assert bench.provider.supervisor_pid(spec.instance_id) == pid
        assert (root_of(directory, spec) / "count").read_text() == "x\n"
        await bench.provider.stop(spec.instance_id)
        found = await bench.until(spec.instance_id, Power.STOPPED)
        assert found is not None
        assert not found.exited

    run_story(directory, story, **mode)


def test_run_says_what_cannot_be_executed(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        with pytest.raises(ProviderError):
            await bench.provider.run(spec.instance_id, ["no-such-command"])

    run_story(directory, story)


def test_what_user_data_does_to_the_host_stays_inside_and_goes_into_images(directory: Path) -> None:
    name = f"elba-test-{os.getpid()}"
    data = f"""#cloud-config
write_files:
  - path: /etc/{name}
    content: written
runcmd:
  - echo changed >>/etc/{name}
  - echo more >/usr/{name}
  - cat /etc/{name} /usr/{name} >$HOME/seen
  - test -e /var/log/cloud-init-output.log && touch $HOME/done
"""

    async def story(bench: ContractBench) -> None:
        spec = a_spec(user_data=data.encode())
        await bench.provider.launch(spec)
        await answers(spec)
        if b"in reach" in await bench.provider.console_output(spec.instance_id):
            pytest.skip("no overlayfs here")
        assert (root_of(directory, spec) / "done").exists()
        assert (root_of(directory, spec) / "seen").read_text() == "writtenchanged\nmore\n"
        assert not any(path.exists() for path in (Path(f"/etc/{name}"), Path(f"/usr/{name}")))
        path = await bench.provider.snapshot(spec.instance_id, "ami-1")
        other = a_spec(2, image_path=path, user_data=f"#!/bin/sh\ncat /usr/{name} >$HOME/again".encode())
        await bench.provider.launch(other)
        await answers(other)
        assert (root_of(directory, other) / "again").read_text() == "more\n"
        await bench.provider.stop(spec.instance_id)
        await bench.until(spec.instance_id, Power.STOPPED)
        await bench.provider.start(spec)
        await answers(spec)
        assert await bench.provider.run(
            spec.instance_id, ["cp", f"/etc/{name}", str(root_of(directory, spec) / "kept")]
        )
        await until(lambda: (root_of(directory, spec) / "kept").exists())

    run_story(directory, story)


def test_the_web_app_keeps_connections_and_ends_what_it_began(directory: Path) -> None:
    async def story(bench: ContractBench) -> None:
        spec = await bench.launched()
        await answers(spec)
        reader, writer = await asyncio.open_connection(spec.host_address, 8080)
        for body in (
            b"Content-Length: 3\r\n\r\nabc",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"\r\n",
        ):
            writer.write(b"POST /health HTTP/1.1\r\nHost: x\r\n" + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(3) == b"ok\n"
        writer.write(b"GET /work?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n")
        await bench.sleep(0.1)
        await bench.provider.stop(spec.instance_id)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert b"worked" in await reader.read()
        writer.close()
        await writer.wait_closed()
        await bench.until(spec.instance_id, Power.STOPPED)
        with pytest.raises(OSError):
            socket.create_connection((spec.host_address, 8080), timeout=1).close()

    run_story(directory, story)
