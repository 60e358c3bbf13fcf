"""The predefined security policies. Source: alb.md §15 = ELB user guide, "Security policies"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_T3 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
_EG = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
]
_EC = [
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
]
_ES = ["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA"]
_RG = ["AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"]
_RS = ["AES128-SHA", "AES256-SHA"]
_ALL = [*_T3, *_EG, *_EC, *_ES, *_RG, *_RS]
_OLD = [*_EG, *_EC, *_ES, *_RG, *_RS]

_V10 = ["TLSv1", "TLSv1.1", "TLSv1.2"]
_V11 = ["TLSv1.1", "TLSv1.2"]
_V12 = ["TLSv1.2"]
_V13 = ["TLSv1.3"]

DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"


@dataclass(frozen=True, slots=True)
class SslPolicy:
    """`protocols` and `ciphers` in order of preference. `family`: plain policies do not mix with PQ/FIPS ones."""

    name: str
    protocols: list[str]
    ciphers: list[str]
    family: str = "plain"


_TLS13: dict[str, tuple[list[str], list[str]]] = {
    "3": (_V13, _T3),
    "2-Res": ([*_V12, *_V13], [*_T3, *_EG]),
    "2": ([*_V12, *_V13], [*_T3, *_EG, *_EC]),
    "2-Ext0": ([*_V12, *_V13], [*_T3, *_EG, *_EC, *_ES]),
    "2-Ext1": ([*_V12, *_V13], [*_T3, *_EG, *_EC, *_RG]),
    "2-Ext2": ([*_V12, *_V13], _ALL),
    "1": ([*_V11, *_V13], _ALL),
    "0": ([*_V10, *_V13], _ALL),
}


def _policies() -> Iterator[SslPolicy]:
    yield SslPolicy("2016-08", _V10, _OLD)
    for name in ("3", "2-Res", "2", "2-Ext1", "2-Ext2", "1", "0"):
        yield SslPolicy(f"TLS13-1-{name}-2021-06", *_TLS13[name])
    for name in ("3", "2", "2-Res", "2-Ext1", "2-Ext2", "0"):
        yield SslPolicy(f"TLS13-1-{name}-PQ-2025-09", *_TLS13[name], "pq-fips")
    fips = {
        name: (protocols, [c for c in ciphers if "CHACHA20" not in c]) for name, (protocols, ciphers) in _TLS13.items()
    }
    for name in ("3", "2-Res", "2", "2-Ext0", "2-Ext1", "2-Ext2", "1", "0"):
        yield SslPolicy(f"TLS13-1-{name}-FIPS-2023-04", *fips[name], "pq-fips")
    for name in ("3", "2-Res", "2", "2-Ext0", "2-Ext1", "2-Ext2", "0"):
        yield SslPolicy(f"TLS13-1-{name}-FIPS-PQ-2025-09", *fips[name], "pq-fips")
    yield SslPolicy("FS-1-2-Res-2020-10", _V12, _EG)
    yield SslPolicy("FS-1-2-Res-2019-08", _V12, [*_EG, *_EC])
    yield SslPolicy("FS-1-2-2019-08", _V12, [*_EG, *_EC, *_ES])
    yield SslPolicy("FS-1-1-2019-08", _V11, [*_EG, *_EC, *_ES])
    yield SslPolicy("FS-2018-06", _V10, [*_EG, *_EC, *_ES])
    yield SslPolicy("TLS-1-2-Ext-2018-06", _V12, _OLD)
    yield SslPolicy("TLS-1-2-2017-01", _V12, [*_EG, *_EC, *_RG])
    yield SslPolicy("TLS-1-1-2017-01", _V11, _OLD)
    yield SslPolicy("2015-05", _V10, _OLD)
    yield SslPolicy("TLS-1-0-2015-04", _V10, [*_OLD, "DES-CBC3-SHA"])


SSL_POLICIES: dict[str, SslPolicy] = {
    f"ELBSecurityPolicy-{p.name}": SslPolicy(f"ELBSecurityPolicy-{p.name}", p.protocols, p.ciphers, p.family)
    for p in _policies()
}
LOAD_BALANCER_TYPES = ["application", "network"]
