"""AWS Signature Version 4: reads a request's authorization and verifies it.

Which keys there are, and whom they belong to, is the server's business. Codes are the query protocol's and
EC2's; `faults` turns the former into those of JSON clients.
Source: "Signing AWS API requests" in the IAM user guide.
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

from elba.errors import ApiError
from elba.wire.http import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 900
MOST_EXPIRES_SECONDS = 604_800

_SPACES = re.compile(r" +")
_HEX_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_STAMP = "%Y%m%dT%H%M%SZ"

# kind of failure → (code, status) for query, JSON and CBOR services, and for EC2.
_CODES = {
    "missing": (("MissingAuthenticationToken", 403), ("MissingAuthenticationToken", 403)),
    "malformed": (("IncompleteSignature", 400), ("AuthFailure", 401)),
    "unknown key": (("InvalidClientTokenId", 403), ("AuthFailure", 401)),
    "mismatch": (("SignatureDoesNotMatch", 403), ("SignatureDoesNotMatch", 403)),
    "clock": (("SignatureDoesNotMatch", 403), ("RequestExpired", 400)),
    "scope": (("SignatureDoesNotMatch", 403), ("AuthFailure", 401)),
    "expired token": (("ExpiredToken", 403), ("RequestExpired", 400)),
}
_UNKNOWN_KEY = "The security token included in the request is invalid."
_UNKNOWN_KEY_EC2 = "AWS was not able to validate the provided access credentials"


def refusal(kind: str, message: str, ec2: bool) -> ApiError:
    """The error for one kind of failure (a row of the table above)."""
    code, status = _CODES[kind][ec2]
    return ApiError(code, message, status)


def unknown_key(ec2: bool) -> ApiError:
    return refusal("unknown key", _UNKNOWN_KEY_EC2 if ec2 else _UNKNOWN_KEY, ec2)


def missing(ec2: bool) -> ApiError:
    return refusal("missing", "Request is missing Authentication Token", ec2)


def expired_token(ec2: bool) -> ApiError:
    return refusal("expired token", "The security token included in the request is expired", ec2)


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a request says of its signer. `expires` is None for a signature in the header."""

    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str
    token: str
    expires: int | None = None
    stamp: str = ""


def read_scope(request: HttpRequest) -> tuple[str, str, str]:
    """(access key id, region, service) that a request names, however malformed the rest; "" for each not named."""
    header = request.headers.get("authorization", "")
    found = re.search(r"Credential=([^,\s]+)", header)
    credential = "" if found is None else found.group(1)
    if not credential and "X-Amz-Credential=" in request.query:
        found = re.search(r"(?:^|&)X-Amz-Credential=([^&]+)", request.query)
        credential = "" if found is None else unquote(found.group(1))
    parts = credential.split("/")
    if len(parts) != 5:
        return parts[0], "", ""
    return parts[0], parts[2], parts[3]


def read_authorization(request: HttpRequest, ec2: bool) -> Authorization | None:
    """The request's authorization, or None if it has none. Raises: ApiError if it is malformed."""
    header = request.headers.get("authorization")
    if header is not None:
        return _read_header(request, header, ec2)
    if "X-Amz-Signature=" in request.query or "X-Amz-Credential=" in request.query:
        return _read_query(request, ec2)
    return None


def _read_header(request: HttpRequest, header: str, ec2: bool) -> Authorization:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise refusal("malformed", f"Unsupported AWS 'algorithm': '{algorithm}'.", ec2)
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, found, value = part.strip().partition("=")
        if not found:
            raise refusal("malformed", f"'{name}' not a valid key=value pair (missing equal-sign).", ec2)
        fields[name] = value
    stamp = request.headers.get("x-amz-date") or request.headers.get("date") or ""
    problems = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not fields.get(name)
    ]
    if not stamp:
        problems.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if problems:
        raise refusal("malformed", " ".join(problems), ec2)
    return _assemble(
        fields["Credential"],
        fields["SignedHeaders"],
        fields["Signature"],
        stamp,
        request.headers.get("x-amz-security-token", ""),
        None,
        ec2,
    )


def _read_query(request: HttpRequest, ec2: bool) -> Authorization:
    fields: dict[str, str] = {}
    for item in request.query.split("&"):
        name, _, value = item.partition("=")
        if name.startswith("X-Amz-"):
            fields[name] = unquote(value)
    algorithm = fields.get("X-Amz-Algorithm", "")
    if algorithm != ALGORITHM:
        raise refusal("malformed", f"Unsupported AWS 'algorithm': '{algorithm}'.", ec2)
    problems = [
        f"AWS query-string parameters must include '{name}'."
        for name in ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
        if not fields.get(name)
    ]
    expires = fields.get("X-Amz-Expires", "3600")
    if not re.fullmatch(r"[0-9]{1,6}", expires) or not 1 <= int(expires) <= MOST_EXPIRES_SECONDS:
        problems.append(f"X-Amz-Expires must be between 1 and {MOST_EXPIRES_SECONDS} seconds.")
    if problems:
        raise refusal("malformed", " ".join(problems), ec2)
    return _assemble(
        fields["X-Amz-Credential"],
        fields["X-Amz-SignedHeaders"],
        fields["X-Amz-Signature"],
        fields["X-Amz-Date"],
        fields.get("X-Amz-Security-Token", ""),
        int(expires),
        ec2,
    )


def _assemble(
    credential: str, signed: str, signature: str, stamp: str, token: str, expires: int | None, ec2: bool
) -> Authorization:
    parts = credential.split("/")
    if len(parts) != 5:
        raise refusal(
            "malformed",
            "Credential must have exactly 5 slash-delimited elements, "
            f"e.g. keyid/date/region/service/term, got '{credential}'",
            ec2,
        )
    key_id, date, region, service, terminator = parts
    return Authorization(
        key_id, date, region, service, terminator, tuple(signed.split(";")), signature, token, expires, stamp
    )


def verify(authorization: Authorization, request: HttpRequest, secret: str, now: float, ec2: bool) -> None:
    """Return if `secret` made the request's signature at about `now` (world seconds). Raises: ApiError.

    The scope's region and service are checked by `check_scope`, which knows what is served.
    """
    signed = authorization.signed_headers
    if "host" not in signed:
        raise refusal("mismatch", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.", ec2)
    if "x-amz-security-token" in request.headers and "x-amz-security-token" not in signed:
        raise refusal("mismatch", "'X-Amz-Security-Token' must be a 'SignedHeader' in the AWS Authorization.", ec2)
    stamp = _check_clock(authorization, now, ec2)
    if authorization.date != stamp[:8]:
        raise refusal(
            "scope",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{authorization.date}' != '{stamp[:8]}', from '{stamp}'.",
            ec2,
        )
    given = authorization.signature
    if not _HEX_SIGNATURE.fullmatch(given) or not any(
        hmac.compare_digest(_sign(authorization, request, query, secret, stamp), given)
        for query in _canonical_queries(request.query)
    ):
        raise refusal(
            "mismatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
            ec2,
        )


def check_scope(authorization: Authorization, regions: frozenset[str] | None, service: str, ec2: bool) -> None:
    """Return if the scope names a region of `regions` (None: any) and `service`. Raises: ApiError."""
    if regions is not None and authorization.region not in regions:
        message = f"Credential should be scoped to a valid Region, not '{authorization.region}'. "
    elif authorization.service != service:
        message = f"Credential should be scoped to correct service: '{service}'. "
    elif authorization.terminator != "aws4_request":
        message = "Credential should be scoped with a valid terminator: 'aws4_request'."
    else:
        return
    raise refusal("scope", message, ec2)


def _check_clock(authorization: Authorization, now: float, ec2: bool) -> str:
    """The signature's time as `YYYYMMDDThhmmssZ`, if it is near enough to `now`. Raises: ApiError."""
    stamp = authorization.stamp
    try:
        moment = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        moment_or_none = _http_date(stamp)
        if moment_or_none is None:
            raise refusal("malformed", f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.", ec2) from None
        moment = moment_or_none
        stamp = moment.strftime(_STAMP)
    seconds = moment.timestamp()
    allowed = SKEW_SECONDS if authorization.expires is None else authorization.expires
    if seconds < now - allowed:
        edge = f"{_format(now - allowed)} ({_format(now)} - {_span(allowed)}.)"
        raise refusal("clock", f"Signature expired: {stamp} is now earlier than {edge}", ec2)
    if seconds > now + SKEW_SECONDS:
        edge = f"{_format(now + SKEW_SECONDS)} ({_format(now)} + 15 min.)"
        raise refusal("clock", f"Signature not yet current: {stamp} is still later than {edge}", ec2)
    return stamp


def _http_date(text: str) -> datetime | None:
    for form in ("%a, %d %b %Y %H:%M:%S GMT", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _format(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_STAMP)


def _span(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} sec"


def _sign(authorization: Authorization, request: HttpRequest, query: str, secret: str, stamp: str) -> str:
    scope = f"{authorization.date}/{authorization.region}/{authorization.service}/{authorization.terminator}"
    canonical = _canonical_request(
        request, query, authorization.signed_headers, authorization.expires is not None, authorization.service == "s3"
    )
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(
        secret, authorization.date, authorization.region, authorization.service, authorization.terminator
    )
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str, terminator: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, terminator):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _canonical_request(
    request: HttpRequest, query: str, signed_headers: tuple[str, ...], presigned: bool, s3: bool = False
) -> str:
    """The text whose hash is signed. Paths are encoded twice, but for S3, whose bodies may also come unsigned or in
    chunks (of which only the first signature is checked)."""
    headers = request.headers
    lines = [f"{name}:{_SPACES.sub(' ', headers.get(name, '').strip())}" for name in sorted(signed_headers)]
    payload = headers.get("x-amz-content-sha256", "")
    digest = hashlib.sha256(request.body).hexdigest()
    if not payload or presigned or (payload != "UNSIGNED-PAYLOAD" and payload != digest):
        # A wrong hash in the header gives a wrong canonical request, and so a wrong signature.
        payload = payload if s3 and payload.startswith("STREAMING-") else digest
    if s3 and presigned:
        payload = headers.get("x-amz-content-sha256") or "UNSIGNED-PAYLOAD"
    return "\n".join(
        (
            request.method.upper(),
            _canonical_path_of_s3(request.path) if s3 else _canonical_path(request.path),
            query,
            *lines,
            "",
            ";".join(sorted(signed_headers)),
            payload,
        )
    )


def _canonical_path(path: str) -> str:
    if path in ("", "/"):
        return "/"
    normal = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and normal != "/":
        normal += "/"
    return quote(normal, safe="/~")


def _canonical_path_of_s3(path: str) -> str:
    return quote(unquote(path or "/", errors="surrogateescape"), safe="/~", errors="surrogateescape")


def _canonical_queries(query: str) -> list[str]:
    """The query string sorted: encoded by the rules, and (if that differs) as it was sent, for that is what
    botocore signs."""
    if not query:
        return [""]
    as_sent: list[tuple[str, str]] = []
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if item and name != "X-Amz-Signature":
            as_sent.append((name, value))
    encoded = [(_recode(name), _recode(value)) for name, value in as_sent]
    forms = ("&".join(f"{name}={value}" for name, value in sorted(pairs)) for pairs in (encoded, as_sent))
    return list(dict.fromkeys(forms))


def _recode(text: str) -> str:
    return quote(unquote(text, errors="surrogateescape"), safe="-_.~", errors="surrogateescape")
