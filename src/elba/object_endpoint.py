"""An S3 endpoint that the operator names: objects are put there, signed. Nothing else of S3 is spoken.

Credentials: `ELBA_S3_ACCESS_KEY_ID` and `ELBA_S3_SECRET_ACCESS_KEY`, else what AWS's own tools would take (environment,
profile); without any, requests are not signed.
"""

from __future__ import annotations

import asyncio
import os
from typing import Protocol
from urllib.parse import quote, urlsplit

import aiohttp
import botocore.session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from elba.errors import ElbaError

SECONDS = 20.0


class ObjectRefused(ElbaError):
    """The endpoint does not take the object, or is not there; the text says why."""


class ObjectEndpoint(Protocol):
    """Where objects can be put."""

    async def put(self, bucket: str, key: str, body: bytes, region: str) -> None:
        """Create or replace an object. `region`: the bucket's, for the signature. Raises: ObjectRefused."""


def require_endpoint(url: str) -> str:
    """The URL without a slash at its end. Raises: ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"an S3 endpoint is a URL like https://s3.example.com, not {url}")
    return url.rstrip("/")


def _credentials() -> Credentials | None:
    key, secret = os.environ.get("ELBA_S3_ACCESS_KEY_ID"), os.environ.get("ELBA_S3_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, secret)
    found: Credentials | None = botocore.session.get_session().get_credentials()
    return found


class S3Endpoint:
    """Path-style requests to one endpoint, each signed with Signature Version 4."""

    def __init__(self, url: str) -> None:
        self._url = require_endpoint(url)
        self._credentials = _credentials()

    async def put(self, bucket: str, key: str, body: bytes, region: str) -> None:
        url = f"{self._url}/{quote(bucket)}/{quote(key)}"
        # Credentials may be fetched from elsewhere when they are used.
        headers = await asyncio.to_thread(self._headers, url, body, region)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.put(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status >= 300:
                    text = (await answer.content.read(2000)).decode(errors="replace")
                    raise ObjectRefused(f"{url}: {answer.status} {text}".strip())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ObjectRefused(f"{url}: {error or type(error).__name__}") from error

    def _headers(self, url: str, body: bytes, region: str) -> dict[str, str]:
        request = AWSRequest(method="PUT", url=url, data=body, headers={"Content-Type": "application/octet-stream"})
        if self._credentials is not None:
            S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", region).add_auth(request)
        return dict(request.headers.items())
