"""However a certificate, key, bundle or revocation list is damaged, it is refused in AWS's words or taken whole."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elba.acm.material import judge
from elba.clock import VirtualClock
from elba.elbv2.bundles import parse_bundle, parse_revocation_list
from elba.errors import ApiError
from tests.unit.acm import pki

# what `cryptography` says of a certificate whose damage has made its serial number negative
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

DAMAGE = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4)


def damaged(pem: bytes, changes: list[tuple[float, int]]) -> bytes:
    """The same block around changed contents."""
    first, *body, last = pem.decode().strip().splitlines()
    content = bytearray(base64.b64decode("".join(body)))
    for place, value in changes:
        content[int(place * len(content))] = value
    return "\n".join([first, *textwrap.wrap(base64.b64encode(content).decode(), 64), last]).encode()


@given(changes=DAMAGE, part=st.sampled_from(["certificate", "key", "chain"]), kind=st.sampled_from(["p256", "rsa2048"]))
@settings(max_examples=300, deadline=None)
def test_imports(changes: list[tuple[float, int]], part: str, kind: str) -> None:
    root = pki.make("Root", ca=True, kind="p384")
    leaf = pki.make("a.example.com", issuer=root, kind=kind)
    parts = {"certificate": leaf.pem, "key": leaf.key_pem, "chain": root.pem}
    parts[part] = damaged(parts[part], changes)
    try:
        judge(parts["certificate"], parts["key"], parts["chain"], VirtualClock.EPOCH)
    except ApiError as error:
        assert error.code == "ValidationException"


@given(changes=DAMAGE, list_=st.booleans())
@settings(max_examples=300, deadline=None)
def test_trust_stores(changes: list[tuple[float, int]], list_: bool) -> None:
    root = pki.make("Root", ca=True)
    try:
        if list_:
            parse_revocation_list(damaged(pki.revocation_list(root, 2), changes))
        else:
            parse_bundle(damaged(root.pem, changes))
    except ApiError as error:
        assert error.code in ("InvalidCaCertificatesBundle", "InvalidRevocationContent")


@given(st.binary(max_size=300), st.sampled_from([b"CERTIFICATE", b"X509 CRL", b"PRIVATE KEY", b"EC PRIVATE KEY"]))
@settings(max_examples=200, deadline=None)
def test_anything_at_all(content: bytes, label: bytes) -> None:
    for body in (content, base64.encodebytes(content)):
        pem = b"-----BEGIN " + label + b"-----\n" + body + b"\n-----END " + label + b"-----\n"
        for attempt in attempts(pem):
            with pytest.raises(ApiError):
                attempt()


def attempts(pem: bytes) -> list[Callable[[], object]]:
    """Every way in."""
    good = pki.make("a.example.com").pem
    return [
        lambda: judge(pem, pem, pem, VirtualClock.EPOCH),
        lambda: judge(good, pem, b"", VirtualClock.EPOCH),
        lambda: parse_bundle(pem),
        lambda: parse_revocation_list(pem),
    ]
