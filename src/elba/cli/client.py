"""How the command line talks to a running Elba: as any client does, with boto3 and the root key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

from elba.config import Home, Settings
from elba.errors import UserError


def running(home: Home) -> Settings:
    """The settings of the Elba that runs from `home`. Raises: UserError if none ever ran there."""
    settings = home.read_settings()
    if settings is None:
        raise UserError(f"no Elba has run from {home.directory}", "Start one with `elba up`.")
    return settings


def connect(home: Home, service: str, region: str | None = None) -> Any:
    """A boto3 client of the running Elba, with short time-outs and no retries."""
    settings = running(home)
    key = home.root_key(settings.account)
    return boto3.client(
        service,
        endpoint_url=settings.endpoint,
        region_name=region or settings.regions[0],
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        config=botocore.config.Config(
            connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 1}, max_pool_connections=20
        ),
    )


def ask(client: Any, operation: str, **arguments: Any) -> Any:
    """Call `operation`. Raises: UserError if Elba does not answer, or refuses."""
    return _asked(client, lambda: getattr(client, operation)(**arguments))


def ask_all(client: Any, operation: str, **arguments: Any) -> Any:
    """All pages of `operation` as one answer. Raises: UserError if Elba does not answer, or refuses."""
    return _asked(client, lambda: client.get_paginator(operation).paginate(**arguments).build_full_result())


def _asked(client: Any, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as error:
        raise UserError(f"Elba does not answer at {client.meta.endpoint_url}", "Start it with `elba up`.") from error
    except botocore.exceptions.ClientError as error:
        raise UserError(
            f"{client.meta.endpoint_url} refuses: {error}",
            "If this is another Elba's port, start yours on one of its own: `elba up --port`.",
        ) from error
