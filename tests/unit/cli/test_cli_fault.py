"""`elba fault`: what it asks of a running Elba, and how it tells the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from elba.cli import fault
from elba.config import Home, Settings
from elba.errors import UserError


class _Server(HTTPServer):
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.keys: list[str] = []
        self.answers: list[tuple[int, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(self.path)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, asked: Any) -> None:
        self.server.asked.append(asked)
        self.server.keys.append(self.headers.get("Authorization", ""))
        status, body = self.server.answers.pop(0)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def home(server: _Server, tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    home.write_settings(Settings(port=server.server_address[1]))
    return home


def test_a_letter_is_a_zone_of_the_region_and_the_key_goes_along(server: _Server, home: Home) -> None:
    server.answers = [(200, {"region": "us-east-1", "shortage": "us-east-1a/m5.large"})]
    result = CliRunner().invoke(fault.command, ["capacity", "a", "m5.large"], obj=home)
    assert result.output == "No more capacity: us-east-1a/m5.large.\n"
    assert (server.asked[0]["zone"], server.asked[0]["instance_type"]) == ("us-east-1a", "m5.large")
    assert server.keys[0].startswith("Basic ")


def test_the_list_is_text_or_json(server: _Server, home: Home) -> None:
    found = {
        "region": "us-east-1",
        "capacity": [{"zone": "us-east-1a", "instance_type": "*", "since": 0.0}],
        "zones": [],
        "instances": [{"instance_id": "i-1", "interruption_at": 60.0, "rebalance_recommended_at": None}],
        "volumes": [{"volume_id": "vol-1", "instance_id": "i-1", "since": 60.0}],
    }
    server.answers = [(200, found), (200, found)]
    text = CliRunner().invoke(fault.command, ["list"], obj=home).output
    assert "no capacity  * in us-east-1a since 1970-01-01 00:00:00Z" in text
    assert "i-1 ends at 1970-01-01 00:01:00Z" in text
    assert "stalled      vol-1 of i-1 since 1970-01-01 00:01:00Z" in text
    assert json.loads(CliRunner().invoke(fault.command, ["list", "--json"], obj=home).output) == found


def test_volumes_are_stalled_and_work_again(server: _Server, home: Home) -> None:
    stalled = {"volume_id": "vol-1", "instance_id": "i-1", "since": 60.0}
    server.answers = [(200, {"volumes": [stalled]}), (200, {"ended": 1})]
    assert CliRunner().invoke(fault.command, ["volume", "i-1"], obj=home).output == "vol-1 of i-1 is stalled.\n"
    assert CliRunner().invoke(fault.command, ["volume", "--clear"], obj=home).output == "1 volumes work again.\n"
    assert [(a["fault"], a["ids"], a["clear"]) for a in server.asked] == [
        ("volume", ["i-1"], False),
        ("volume", [], True),
    ]
    assert CliRunner().invoke(fault.command, ["volume"], obj=home).exit_code == 2


def test_a_refusal_is_told_in_words(server: _Server, home: Home) -> None:
    server.answers = [(400, {"message": "There is no zone 'us-east-1z'"})]
    result = CliRunner().invoke(fault.command, ["zone", "z"], obj=home)
    assert isinstance(result.exception, UserError) and "no zone" in str(result.exception)


@pytest.mark.parametrize("name", ["capacity", "zone"])
def test_what_to_break_must_be_named(home: Home, name: str) -> None:
    result = CliRunner().invoke(fault.command, [name], obj=home)
    assert result.exit_code == 2 and "Name a ZONE" in result.output
