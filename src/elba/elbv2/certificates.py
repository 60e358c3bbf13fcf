"""Certificates of listeners: ACM's by ARN, and IAM's server certificates. Pure, and quick to load."""

from __future__ import annotations

import re

from elba.acm.resources import Certificate
from elba.iam.resources import GLOBAL, ServerCertificate
from elba.store.interface import View

CERTIFICATE_ARN = re.compile(
    r"arn:aws[a-z-]*:(acm:[a-z0-9-]+:[0-9]{12}:certificate/[\w+=,.@-]+|iam::[0-9]{12}:server-certificate/[!-~]+)",
    re.ASCII,
)
UNUSABLE_KEYS = frozenset({"", "RSA_1024"})
"""Application Load Balancers take RSA from 2048 bits on, and the three NIST curves."""


def find_certificate(view: View, account: str, region: str, arn: str) -> Certificate | ServerCertificate | None:
    """What the ARN names, if it is the account's and, for ACM, of the region."""
    if ":server-certificate/" not in arn:
        return view.get(Certificate, account, region, arn)
    found = view.get(ServerCertificate, account, GLOBAL, arn.rpartition("/")[2].lower())
    return found if found is not None and found.arn == arn else None
