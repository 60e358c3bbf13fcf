"""The command line's answers when something is odd: a data directory with other files in it, another Elba's port."""

from __future__ import annotations

from pathlib import Path

import botocore.exceptions
import pytest
from click.testing import CliRunner

from elba.cli import down, up
from elba.cli.client import ask
from elba.config import Home, Settings
from elba.errors import UserError


class _Meta:
    endpoint_url = "http://127.0.0.1:4566"


class _Refusing:
    """A client of a server that does not know its key."""

    meta = _Meta()

    def describe_vpcs(self) -> None:
        raise botocore.exceptions.ClientError({"Error": {"Code": "AuthFailure", "Message": "no"}}, "DescribeVpcs")


def test_purge_leaves_files_that_elba_did_not_make(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_settings(Settings())
    (tmp_path / "store.db-wal").touch()
    (tmp_path / "nodes" / "us-east-1a").mkdir(parents=True)
    (tmp_path / "thesis.txt").write_text("years of work")
    down.remove(home)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_purge_removes_a_data_directory_that_is_all_elbas(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    home.create()
    home.write_settings(Settings())
    for path in vars(home).values():  # every file that Home names is known to `remove`
        if path != home.directory:
            path.touch()
    down.remove(home)
    assert not home.directory.exists()


def test_purge_refuses_a_directory_from_which_elba_never_ran(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    result = CliRunner().invoke(down.command, ["--purge"], obj=Home(tmp_path))
    assert isinstance(result.exception, UserError)
    assert (tmp_path / "logs").is_dir()


def test_a_refused_call_is_told_in_words() -> None:
    with pytest.raises(UserError, match=r"refuses.*AuthFailure"):
        ask(_Refusing(), "describe_vpcs")


@pytest.mark.parametrize(
    "odd",
    [
        {"zones": ("../x",)},
        {"zones": ("us-east-1a",)},
        {"zones": ("a", "a")},
        {"regions": ("mars",)},
        {"regions": ("us-east-1", "us-east-1")},
        {"port": 70000},
    ],
)
def test_odd_settings_are_refused_in_words(tmp_path: Path, odd: dict[str, object]) -> None:
    with pytest.raises(UserError):
        up.settings_for(Home(tmp_path), odd)


@pytest.mark.parametrize("text", ['{"time_scale": -4}', '{"zones": []}', "{"])
def test_damaged_files_are_told_in_words(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.settings_file.write_text(text)
    with pytest.raises(UserError, match="damaged"):
        home.read_settings()
    home.root_key_file.write_text(text)
    with pytest.raises(UserError, match="damaged"):
        home.root_key()
