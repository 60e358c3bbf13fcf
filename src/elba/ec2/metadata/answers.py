"""What the instance metadata service answers to one request. Pure.

Source: EC2 user guide, "Use the Instance Metadata Service to access instance metadata"; ec2-iam spec §5.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

import msgspec

from elba.ec2.metadata.categories import Tree, dynamic, meta_data
from elba.ec2.metadata.tokens import LEAST_TTL_SECONDS, MOST_TTL_SECONDS, make_token, token_is_valid
from elba.ec2.resources import Instance
from elba.store.interface import View

TOKEN_PATH = re.compile(r"/(latest|\d{4}-\d\d-\d\d)/api/token/?")
VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
    "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19",
    "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03",
    "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest",
)  # fmt: skip

TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "x-aws-ec2-metadata-token"

_STATUS_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """`without_token`: it was an IMDSv1 request that was answered."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: dict[str, str] = {}
    is_token: bool = False
    without_token: bool = False


def respond(
    view: View, instance: Instance, method: str, path: str, headers: Mapping[str, str], now: float, key: bytes
) -> Response:
    """The answer to one request.

    `headers` have lower-case names; `now` is the world's time, by which tokens and credentials expire; `key` signs
    tokens. Credentials are shown if the store has some that are still good: the service sees to that before.
    """
    path = path.partition("?")[0]
    if instance.http_endpoint == "disabled":
        return _error(403)
    if TOKEN_PATH.fullmatch(path):
        return _token(instance, method, headers, now, key)
    if method not in ("GET", "HEAD"):
        return _error(405, {"Allow": "GET, HEAD"})
    token = headers.get(TOKEN_HEADER)
    if token is None:
        if instance.http_tokens == "required":
            return _error(401)
    elif not token_is_valid(key, instance.id, token, now):
        return _error(401)
    body = _look_up(view, instance, path, now)
    if body is None:
        return _error(404)
    kind = "application/octet-stream" if path.rstrip("/").endswith("/user-data") else "text/plain"
    return Response(status=200, body=body, content_type=kind, without_token=token is None)


def _token(instance: Instance, method: str, headers: Mapping[str, str], now: float, key: bytes) -> Response:
    if method != "PUT":
        return _error(405, {"Allow": "OPTIONS, PUT"})
    # Whatever forwards requests is not the instance: this is what stops open proxies.
    if "x-forwarded-for" in headers:
        return _error(403)
    ttl = headers.get(TTL_HEADER, "")
    if not ttl.isascii() or not ttl.isdigit() or not LEAST_TTL_SECONDS <= int(ttl) <= MOST_TTL_SECONDS:
        return _error(400)
    token = make_token(key, instance.id, now + int(ttl))
    return Response(status=200, body=token.encode(), headers={TTL_HEADER: ttl}, is_token=True)


def _look_up(view: View, instance: Instance, path: str, now: float) -> bytes | None:
    parts = [part for part in path.split("/") if part]
    if not parts:
        return "\n".join(VERSIONS).encode()
    if parts[0] not in VERSIONS:
        return None
    if len(parts) == 1:
        names = ["dynamic", "meta-data", *(["user-data"] if instance.user_data else [])]
        return "\n".join(names).encode()
    match parts[1]:
        case "user-data" if len(parts) == 2 and instance.user_data:
            return base64.b64decode(instance.user_data)
        case "meta-data":
            return _walk(meta_data(view, instance, now), parts[2:])
        case "dynamic":
            return _walk(dynamic(instance), parts[2:])
    return None


def _walk(tree: Tree, parts: list[str]) -> bytes | None:
    found: str | Tree = tree
    for part in parts:
        if isinstance(found, str):
            return None
        # A key's directory is listed as `0=name` and found under `0`.
        by_name = {name.partition("=")[0] if "=" in name and part.isdigit() else name: name for name in found}
        if part not in by_name:
            return None
        found = found[by_name[part]]
    if isinstance(found, str):
        return found.encode()
    return "\n".join(
        name if isinstance(value, str) or "=" in name else f"{name}/" for name, value in sorted(found.items())
    ).encode()


def _error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    title = f"{status} - {_STATUS_TITLES[status]}"
    body = (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        ' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
        f" <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
    )
    return Response(status=status, body=body.encode(), content_type="text/html", headers=dict(headers or {}))
