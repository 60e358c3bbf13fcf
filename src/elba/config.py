"""The settings of a running Elba: what `elba up` was told, and what it chose; kept in the data directory."""

from __future__ import annotations

import json
import os
import re
import secrets
import string
from collections.abc import Mapping
from pathlib import Path

import msgspec

from elba.errors import UserError
from elba.object_endpoint import require_endpoint

DEFAULT_PORT = 4566
DEFAULT_REGION = "us-east-1"
DEFAULT_ACCOUNT = "000000000000"


def default_data_directory() -> Path:
    """`$ELBA_DATA_DIR`, else `$XDG_STATE_HOME/elba`, else `~/.local/state/elba`."""
    if directory := os.environ.get("ELBA_DATA_DIR"):
        return Path(directory)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "elba"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One Elba.

    `first_slice`..`last_slice`: second octets of the 127.0.0.0/8 addresses its VPCs may use.
    `clock_origin`: world time at which its clock equalled the world's (0 = not started yet).
    `regions`: the first is the default one; unless `only_regions`, every other region of AWS is served as well.
    `sns_endpoints`: "loopback": SNS contacts web endpoints on this machine only; "any": on all.
    `identity_ca`: a PEM file: whose certificates identity providers may have, besides the system's authorities'.
    `metric_streams`: NAME=URL: where the records of the Firehose delivery stream NAME (or its ARN, or `*`: all) go.
    `s3_endpoint`: URL of an S3 endpoint where log files go besides the local buckets; "" = none.
    `auth`: "verify" checks signatures against known keys, "open" takes any key.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    regions: tuple[str, ...] = (DEFAULT_REGION,)
    only_regions: bool = False
    zones: tuple[str, ...] = ("a", "b", "c")
    time_scale: float = 1.0
    auth: str = "verify"
    account: str = DEFAULT_ACCOUNT
    first_slice: int = 16
    last_slice: int = 55
    dns_port: int = 4553
    front_door: str = "127.0.0.1"
    node_workers: int = 0
    log_level: str = "INFO"
    clock_origin: float = 0.0
    sns_endpoints: str = "loopback"
    identity_ca: str = ""
    metric_streams: tuple[str, ...] = ()
    s3_endpoint: str = ""

    def __post_init__(self) -> None:
        """Raises: ValueError for what no Elba can run with; zone and region names become file and host names."""
        if not all(re.fullmatch("[a-z]", zone) for zone in self.zones) or not self.zones:
            raise ValueError(f"zones are letters from a to z, as in a,b,c; not {','.join(self.zones) or 'none'}")
        if not all(re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", region) for region in self.regions):
            raise ValueError(f"regions have names like us-east-1, not {','.join(self.regions)}")
        if not self.regions or len({*self.zones}) < len(self.zones) or len({*self.regions}) < len(self.regions):
            raise ValueError("name each zone and region once, and at least one of each")
        if not 0 < self.port < 65536 or not 0 < self.dns_port < 65536:
            raise ValueError(f"ports are from 1 to 65535, not {self.port} and {self.dns_port}")
        if self.s3_endpoint:
            require_endpoint(self.s3_endpoint)
        if not self.time_scale > 0:
            raise ValueError(f"time scale must be positive, not {self.time_scale:g}")

    @property
    def endpoint(self) -> str:
        """The API's URL."""
        return f"http://{self.host}:{self.port}"

    def mapping(self, data_directory: Path) -> Mapping[str, str]:
        """The form in which parts of the control plane get them (`Parts.settings`): names to text."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        texts = {k: ",".join(v) if isinstance(v, tuple) else str(v) for k, v in values.items()}
        return {
            **texts,
            "data_dir": str(data_directory),
            "dns_addresses": f"{self.host}:{self.dns_port}",
            "endpoint": self.endpoint,
        }


class RootKey(msgspec.Struct, frozen=True, kw_only=True):
    """The access key of the default account's root user; `elba env` prints it."""

    access_key_id: str
    secret_access_key: str
    account: str


class Home:
    """A data directory and the files in it whose names everyone must agree on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings_file = directory / "settings.json"
        self.root_key_file = directory / "root-key.json"
        self.functions_secret_file = directory / "functions-secret"
        self.lock_file = directory / "control-plane.lock"
        self.log_file = directory / "control-plane.log"
        self.store_file = directory / "store.db"
        self.series_file = directory / "metrics"
        self.buckets_directory = directory / "buckets"

    def create(self) -> None:
        """Make the directory, readable by its owner alone. Raises: UserError."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(
                f"cannot make the data directory {self.directory}: {error.strerror}",
                "Choose another with --data-dir, or set ELBA_DATA_DIR.",
            ) from error

    def read_settings(self) -> Settings | None:
        """What the last `elba up` here ran with, or None. Raises: UserError if the file is damaged."""
        try:
            return msgspec.json.decode(self.settings_file.read_bytes(), type=Settings)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise UserError(
                f"{self.settings_file} is damaged: {error}",
                "Mend it, or remove it: `elba up` then starts with what its options say.",
            ) from error

    def write_settings(self, settings: Settings) -> None:
        _write_private(self.settings_file, json.dumps(msgspec.to_builtins(settings), indent=2))

    def functions_secret(self) -> str:
        """What zone nodes' secrets for invoking functions are made of; made at first use."""
        try:
            return self.functions_secret_file.read_text()
        except FileNotFoundError:
            _write_private(self.functions_secret_file, secrets.token_hex(32))
            return self.functions_secret_file.read_text()

    def root_key(self, account: str = DEFAULT_ACCOUNT) -> RootKey:
        """The root key, made at first use. Raises: UserError if its file is damaged."""
        try:
            return msgspec.json.decode(self.root_key_file.read_bytes(), type=RootKey)
        except FileNotFoundError:
            letters = string.ascii_uppercase + "234567"
            key = RootKey(
                access_key_id="AKIA" + "".join(secrets.choice(letters) for _ in range(16)),
                secret_access_key=secrets.token_urlsafe(30),
                account=account,
            )
            _write_private(self.root_key_file, json.dumps(msgspec.to_builtins(key), indent=2))
            return key
        except msgspec.MsgspecError as error:
            raise UserError(
                f"{self.root_key_file} is damaged: {error}", "Remove it; the next command makes a new root key."
            ) from error


def _write_private(path: Path, text: str) -> None:
    """Replace `path` in one step, so that a reader sees the old or the new, whole."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
