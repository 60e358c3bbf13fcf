"""Tells what a web page of another site makes a browser send.

Where no signature is asked for, any page that a developer visits could otherwise run instances, and so programs,
on the developer's machine: by a form posted to 127.0.0.1, or under a host name of its own that it lets resolve to
it (DNS rebinding). Browsers tell on such requests; AWS's clients send none of these headers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def is_foreign(headers: Mapping[str, str], own_host: str) -> bool:
    """Whether a browser sends the request for a page that is neither this machine's nor `own_host`'s."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and not _is_local(origin, own_host):
        return True
    if site is None:
        return False
    return site not in ("same-origin", "none") or not _is_local(f"//{headers.get('host', '')}", own_host)


def _is_local(url: str, own_host: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host in ("localhost", own_host) or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
