"""S3's older signature in the query string, which the aws CLI and boto3 still presign URLs with in us-east-1.

Source: S3 developer guide, "Signing and authenticating REST requests", "Query string request authentication".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import unquote

from elba.errors import ApiError
from elba.wire.http import HttpRequest

_RESOURCES = frozenset(
    {
        "accelerate", "acl", "cors", "defaultObjectAcl", "delete", "lifecycle", "location", "logging", "notification",
        "object-lock", "partNumber", "policy", "replication", "requestPayment", "response-cache-control",
        "response-content-disposition", "response-content-encoding", "response-content-language",
        "response-content-type", "response-expires", "restore", "select", "select-type", "storageClass", "tagging",
        "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
    }
)  # fmt: skip
"""Query parameters that are part of the resource."""


@dataclass(frozen=True, slots=True)
class Presigned:
    """What such a URL says of its signer. `expires` is epoch seconds."""

    access_key_id: str
    signature: str
    expires: int
    token: str


def read_presigned(request: HttpRequest) -> Presigned | None:
    """None for a request of another kind. Raises: ApiError AccessDenied for a malformed time."""
    if "AWSAccessKeyId=" not in request.query or "Signature=" not in request.query:
        return None
    fields = {unquote(name): unquote(value) for name, value in _pairs(request.query)}
    try:
        expires = int(fields.get("Expires", ""))
    except ValueError:
        raise ApiError(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
            403,
        ) from None
    return Presigned(fields["AWSAccessKeyId"], fields["Signature"], expires, fields.get("x-amz-security-token", ""))


def verify(presigned: Presigned, request: HttpRequest, bucket: str, secret: str, now: float) -> None:
    """Return if `secret` signed the URL and it has not expired at `now` (world seconds). Raises: ApiError.

    `bucket` is the one that the host name names, if it does.
    """
    if now > presigned.expires:
        raise ApiError("AccessDenied", "Request has expired", 403)
    digest = hmac.new(secret.encode(), _to_sign(presigned, request, bucket).encode(), hashlib.sha1).digest()
    if not hmac.compare_digest(base64.b64encode(digest).decode(), presigned.signature):
        raise ApiError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing "
            "method.",
            403,
        )


def _to_sign(presigned: Presigned, request: HttpRequest, bucket: str) -> str:
    headers = {name: value for name, value in request.headers.items() if name.startswith("x-amz-")}
    headers |= {
        unquote(name).lower(): unquote(value)
        for name, value in _pairs(request.query)
        if name.lower().startswith("x-amz-")
    }
    resource = f"/{bucket}" if bucket else ""
    parts = [
        f"{name}={unquote(value)}" if value else name
        for name, value in sorted(_pairs(request.query))
        if unquote(name) in _RESOURCES
    ]
    resource += (request.path or "/") + (f"?{'&'.join(parts)}" if parts else "")
    lines = [
        request.method,
        request.headers.get("content-md5", ""),
        request.headers.get("content-type", ""),
        str(presigned.expires),
        *(f"{name}:{value.strip()}" for name, value in sorted(headers.items())),
        resource,
    ]
    return "\n".join(lines)


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (item.partition("=") for item in query.split("&")) if name]
