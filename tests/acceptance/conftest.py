"""A real Elba for real clients: its own directory, free ports, ended and checked for leftovers afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import psutil
import pytest
from botocore.config import Config

from elba.config import Home, Settings

START_SECONDS = 30.0


def free_port() -> int:
    """A port that is free for TCP and UDP on 127.0.0.1."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def eventually(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


class Elba:
    """One running Elba."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.home = Home(directory)
        self.port = free_port()
        self.dns_port = free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        settings = self.home.read_settings()
        assert settings is not None
        return settings

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "elba.cli.main", "--data-dir", str(self.home.directory), *arguments]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an `elba` subcommand to its end."""
        result = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=120, check=False)
        if check:
            assert result.returncode == 0, f"elba {' '.join(arguments)}: {result.stdout}{result.stderr}"
        return result

    def up(self) -> None:
        """Start the control plane and wait until it answers."""
        self.home.create()
        output = self.home.directory / "up.log"
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                self.command("up", "--port", str(self.port), "--dns-port", str(self.dns_port), *self.options),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, output.read_text(errors="replace")
            try:
                with urllib.request.urlopen(f"{self.endpoint}/_elba/health", timeout=1) as response:
                    return bool(response.status == 200)
            except OSError:
                return False

        eventually(answers, START_SECONDS, "Elba answering")

    def kill(self) -> None:
        """kill -9 the control plane."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def down(self) -> None:
        self.run("down")
        if self.process is not None:
            self.process.wait(timeout=20)

    def leftovers(self) -> list[str]:
        """Processes that still belong to this Elba."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.home.directory) in argument for argument in process.info["cmdline"] or ()):
                found.append(f"{process.pid} {' '.join(process.info['cmdline'])}")
        return found

    def environment(self) -> dict[str, str]:
        """What `elba env` exports, over this process's environment."""
        key = self.home.root_key()
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        }

    def client(self, service: str, **options: Any) -> Any:
        key = self.home.root_key()
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=options.pop("region_name", "us-east-1"),
            aws_access_key_id=options.pop("aws_access_key_id", key.access_key_id),
            aws_secret_access_key=options.pop("aws_secret_access_key", key.secret_access_key),
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
            **options,
        )

    def resolver(self) -> aiohttp.AsyncResolver:
        """Resolves by this Elba's DNS. Make it inside a running loop."""
        return aiohttp.AsyncResolver(nameservers=["127.0.0.1"], udp_port=self.dns_port, tcp_port=self.dns_port)


@pytest.fixture(scope="module")
def elba(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elba]:
    """An Elba whose AWS time passes 20 times as fast; one per module. Its log is shown if a test fails."""
    running = Elba(tmp_path_factory.mktemp("elba"), "--time-scale", "20")
    running.up()
    failures = request.session.testsfailed
    try:
        yield running
    finally:
        running.down()
        assert "0 zone nodes and 0 instances ended" in running.run("down").stderr
        if request.session.testsfailed > failures and running.home.log_file.exists():
            print("\n".join(running.home.log_file.read_text().splitlines()[-60:]))
    assert running.leftovers() == []
