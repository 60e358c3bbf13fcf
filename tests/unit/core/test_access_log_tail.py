"""`elba logs --lb`: the access log of a load balancer over all zones."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from elba.cli.logs import Follower, access_files, command
from elba.config import Home
from tests.unit.core.test_access_log_lines import golden


def write(home: Path, zone: str, name: str, *lines: str) -> Path:
    path = home / "nodes" / zone / "access" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def test_zones_are_merged_by_time(tmp_path: Path) -> None:
    early = golden("forward")["line"]
    late = golden("fixed_response")["line"].replace("53.589793Z", "54.000000Z")
    write(tmp_path, "us-east-1a", "web.1", late)
    write(tmp_path, "us-east-1b", "web.1", early)
    write(tmp_path, "us-east-1b", "other.1", early)
    home = Home(tmp_path)
    assert len(access_files(home, "web")) == len(access_files(home, "web.1")) == 2
    result = CliRunner().invoke(command, ["--lb", "web", "--json"], obj=home)
    assert [json.loads(line)["elb_status_code"] for line in result.output.splitlines()] == [200, 404]
    result = CliRunner().invoke(command, ["--lb", "web", "-n", "1"], obj=home)
    assert "→ fixed-response GET" in result.output and len(result.output.splitlines()) == 1


def test_a_load_balancer_without_a_log_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--lb", "web"], obj=Home(tmp_path))
    assert "no access log of a load balancer web" in str(result.exception)


def test_following_survives_rotation_and_half_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "us-east-1a", "web.1", "old")
    follower = Follower(path)
    assert follower.lines() == []
    with path.open("a") as file:
        file.write("one\ntw")
    assert follower.lines() == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    path.rename(path.with_suffix(".log.1"))
    write(tmp_path, "us-east-1a", "web.1", "three")
    assert follower.lines() == ["two", "three"]
    follower.close()


def test_long_lines_come_whole(tmp_path: Path) -> None:
    text = golden("forward")["line"].replace("GET ", "GET /" + "long/" * 500)
    write(tmp_path, "us-east-1a", "web.1", *[text] * 40)
    result = CliRunner().invoke(command, ["--lb", "web", "--json", "-n", "20"], obj=Home(tmp_path))
    assert [json.loads(line)["elb_status_code"] for line in result.output.splitlines()] == [200] * 20
