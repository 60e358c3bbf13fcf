"""Finds out who asks: verifies the signature, or in open mode takes the key's word for it."""

from __future__ import annotations

import re

from elba.errors import ApiError
from elba.server.exchange import Exchange
from elba.server.identify import bucket_in_host
from elba.server.keys import root_arn
from elba.server.services import GLOBAL_REGION
from elba.server.web_pages import is_foreign
from elba.wire import EC2, REST_XML, sigv2
from elba.wire.sigv4 import (
    check_scope,
    expired_token,
    missing,
    read_authorization,
    read_scope,
    refusal,
    unknown_key,
    verify,
)

_ACCOUNT = re.compile(r"[0-9]{12}")


async def authenticate(exchange: Exchange) -> None:
    """Sets `account`, `region`, `caller_arn` and `caller_id`. Raises: ApiError."""
    if exchange.runtime.settings.auth == "open":
        _take(exchange)
    else:
        _verify(exchange)


def _take(exchange: Exchange) -> None:
    """Any key will do. A 12-digit key id names its own account, a known key's owner is its owner, all others
    share the default account."""
    runtime = exchange.runtime
    if is_foreign(exchange.http.headers, runtime.settings.host):
        raise ApiError("AccessDenied", "Requests of other sites' web pages are refused where auth is open.", 403)
    key_id = read_scope(exchange.http)[0]
    known = runtime.keys.find(key_id) if key_id else None
    if known is not None:
        exchange.account, exchange.caller_arn, exchange.caller_id = known.account, known.owner_arn, known.owner_id
    else:
        account = key_id if _ACCOUNT.fullmatch(key_id) else runtime.settings.account
        exchange.account, exchange.caller_arn, exchange.caller_id = account, root_arn(account), account
    _set_region(exchange)


def _verify(exchange: Exchange) -> None:
    runtime = exchange.runtime
    served = exchange.served
    assert served is not None
    ec2 = exchange.protocol == EC2
    presigned = sigv2.read_presigned(exchange.http) if exchange.protocol == REST_XML else None
    if presigned is not None:
        _verify_presigned(exchange, presigned)
        return
    authorization = read_authorization(exchange.http, ec2)
    if authorization is None:
        raise missing(ec2)
    key = runtime.keys.find(authorization.access_key_id)
    if key is None or key.status != "Active" or key.session_token != authorization.token:
        raise unknown_key(ec2)
    regions = runtime.regions if served.region == "configured" else None
    check_scope(authorization, regions, served.signing_name, ec2)
    now = runtime.clock.wall()
    verify(authorization, exchange.http, key.secret_access_key, now, ec2)
    if key.expiration and key.expiration <= now:
        raise expired_token(ec2)
    exchange.account, exchange.caller_arn, exchange.caller_id = key.account, key.owner_arn, key.owner_id
    _set_region(exchange)


def _verify_presigned(exchange: Exchange, presigned: sigv2.Presigned) -> None:
    """S3's older presigned URLs name no region: the first one is meant."""
    runtime = exchange.runtime
    key = runtime.keys.find(presigned.access_key_id)
    if key is None or key.status != "Active" or key.session_token != presigned.token:
        raise unknown_key(False)
    bucket = bucket_in_host(exchange.http.headers.get("host", ""))
    now = runtime.clock.wall()
    sigv2.verify(presigned, exchange.http, bucket, key.secret_access_key, now)
    if key.expiration and key.expiration <= now:
        raise expired_token(False)
    exchange.account, exchange.caller_arn, exchange.caller_id = key.account, key.owner_arn, key.owner_id
    _set_region(exchange)


def _set_region(exchange: Exchange) -> None:
    served = exchange.served
    assert served is not None
    runtime = exchange.runtime
    if served.region == "global":
        exchange.region = GLOBAL_REGION
        return
    exchange.region = exchange.scope_region or runtime.settings.regions[0]
    if served.region == "configured" and exchange.region not in runtime.regions:
        ec2 = exchange.protocol == EC2
        raise refusal("scope", f"Credential should be scoped to a valid Region, not '{exchange.region}'. ", ec2)
