"""ACM's commands: pure functions of (transaction, call, request).

Operations add `world_now` to requests in which validity matters, and hand in what was issued (`issued`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from elba.acm.lookup import (
    WORLD_NOW,
    require_certificate,
    status_of,
    users_by_certificate,
    validation_error,
)
from elba.acm.material import judge
from elba.acm.resources import AUTHORITY_ID, OF_ELBA, AccountConfiguration, Authority, Certificate, Tags
from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.store.interface import Transaction, View
from elba.x509.issuing import Issued
from elba.x509.reading import facts_of, read_certificates

MOST_TAGS = 50
MOST_CERTIFICATES = 2500
MOST_NAMES = 100
TOKEN_SECONDS = 3600.0
"""For so long the same idempotency token gives the same certificate."""
ISSUED_KEY_ALGORITHMS = ("RSA_2048", "EC_prime256v1", "EC_secp384r1")
_DOMAIN = re.compile(r"(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])")


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────


def _merged(old: Tags, given: Iterable[Mapping[str, Any]]) -> Tags:
    """Raises: InvalidTagException, InvalidParameterException, TooManyTagsException."""
    tags, seen = dict(old), set()
    for tag in given:
        key = tag["key"]
        if key.lower().startswith("aws:") or (tag.get("value") or "").lower().startswith("aws:"):
            raise ApiError("InvalidTagException", "Tag keys and values must not start with the reserved prefix aws:.")
        if key in seen:
            raise ApiError("InvalidParameterException", f"The tag key '{key}' was given more than once.")
        seen.add(key)
        tags[key] = tag.get("value") or ""
    if len(tags) > MOST_TAGS:
        raise ApiError("TooManyTagsException", f"A certificate has at most {MOST_TAGS} tags.")
    return tags


def add_tags_to_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    certificate = require_certificate(tx, call, request["certificate_arn"])
    tx.put(replace(certificate, tags=_merged(certificate.tags, request["tags"])))
    return {}


def remove_tags_from_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """A tag given with a value goes only if it has that value."""
    certificate = require_certificate(tx, call, request["certificate_arn"])
    tags = dict(certificate.tags)
    for tag in request["tags"]:
        if "value" not in tag or tags.get(tag["key"]) == tag["value"]:
            tags.pop(tag["key"], None)
    tx.put(replace(certificate, tags=tags))
    return {}


# ── certificates ─────────────────────────────────────────────────────────────────────────────────────


def import_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """A new certificate, or with CertificateArn new contents for an imported one, which keeps its ARN and tags.

    Raises: ValidationException, ResourceNotFoundException, InvalidArnException, LimitExceededException, tag errors.
    """
    arn = request.get("certificate_arn")
    old = require_certificate(tx, call, arn) if arn else None
    if old is not None and request.get("tags"):
        raise validation_error("Tagging is not permitted on re-import.")
    if old is not None and old.type != "IMPORTED":
        raise validation_error("Only an imported certificate can be imported again.")
    tags = _merged({}, request.get("tags", ()))
    material = judge(
        request["certificate"], request["private_key"], request.get("certificate_chain") or b"", request[WORLD_NOW]
    )
    if old is None:
        _require_quota(tx, call)
        old = Certificate(
            account=call.account,
            region=call.region,
            id=call.arn("acm", f"certificate/{call.ids.uuid()}"),
            type="IMPORTED",
            certificate="",
            chain="",
            private_key="",
            facts=material.facts,
            created_at=call.now,
            transparency_logging="DISABLED",
            tags=tags,
        )
    tx.put(
        replace(
            old,
            certificate=material.certificate,
            chain=material.chain,
            private_key=material.private_key,
            facts=material.facts,
            imported_at=call.now,
        )
    )
    return {"certificate_arn": old.id}


def _require_quota(tx: Transaction, call: Call) -> None:
    if len(tx.all(Certificate, call.account, call.region)) >= MOST_CERTIFICATES:
        raise ApiError("LimitExceededException", f"A region has at most {MOST_CERTIFICATES} certificates.")


def names_requested(request: Request) -> list[str]:
    """The DNS names a RequestCertificate asks for, the domain name first, each once, lower case."""
    return list(
        dict.fromkeys(name.lower() for name in (request["domain_name"], *request.get("subject_alternative_names", ())))
    )


def requested_before(view: View, call: Call, request: Request) -> Certificate | None:
    """What the same idempotency token was given within the last hour. Raises what is wrong with the request.

    Raises: InvalidParameterException, InvalidDomainValidationOptionsException, LimitExceededException, tag errors.
    """
    names = names_requested(request)
    for name in names:
        if not _DOMAIN.fullmatch(name):
            raise ApiError("InvalidParameterException", f"'{name}' is not a valid domain name.")
    if len(names) > MOST_NAMES:
        raise ApiError("LimitExceededException", f"A certificate has at most {MOST_NAMES} domain names.")
    if request.get("certificate_authority_arn"):
        raise ApiError("InvalidArnException", "There is no such private certificate authority.")
    if request.get("key_algorithm", "RSA_2048") not in ISSUED_KEY_ALGORITHMS:
        raise ApiError(
            "InvalidParameterException", f"The key algorithm must be one of {', '.join(ISSUED_KEY_ALGORITHMS)}."
        )
    for option in request.get("domain_validation_options", ()):
        domain, validation = option["domain_name"].lower(), option["validation_domain"].lower()
        bare = domain.removeprefix("*.")
        if domain not in names or not (bare == validation or bare.endswith("." + validation)):
            raise ApiError(
                "InvalidDomainValidationOptionsException",
                f"The validation domain '{validation}' is not a parent of a requested name '{domain}'.",
            )
    _merged({}, request.get("tags", ()))
    token = request.get("idempotency_token")
    if token:
        for certificate in view.all(Certificate, call.account, call.region):
            if (
                certificate.idempotency_token == token
                and certificate.facts.names == names
                and call.now - certificate.created_at < TOKEN_SECONDS
            ):
                return certificate
    return None


def put_authority(tx: Transaction, call: Call, request: Request) -> Answer:
    """The authority of this Elba: `issued`, unless there is one already."""
    issued: Issued = request["issued"]
    if tx.get(Authority, OF_ELBA, OF_ELBA, AUTHORITY_ID) is None:
        tx.put(
            Authority(
                account=OF_ELBA,
                region=OF_ELBA,
                id=AUTHORITY_ID,
                certificate=issued.certificate,
                private_key=issued.private_key,
            )
        )
    return {}


def request_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """`issued` under this Elba's authority (`authority`, its certificate) becomes a certificate of the account.

    Raises: as `requested_before`.
    """
    before = requested_before(tx, call, request)
    if before is not None:
        return {"certificate_arn": before.id}
    _require_quota(tx, call)
    issued: Issued = request["issued"]
    options = request.get("options", {})
    facts = facts_of(read_certificates(issued.certificate.encode())[0])
    names = names_requested(request)
    certificate = Certificate(
        account=call.account,
        region=call.region,
        id=call.arn("acm", f"certificate/{call.ids.uuid()}"),
        type="AMAZON_ISSUED",
        certificate=issued.certificate,
        chain=request["authority"],
        private_key=issued.private_key,
        facts=replace(facts, domain_name=names[0], names=names),
        created_at=call.now,
        issued_at=call.now,
        validation_method=request.get("validation_method") or "DNS",
        validation_domains={
            option["domain_name"].lower(): option["validation_domain"].lower()
            for option in request.get("domain_validation_options", ())
        },
        idempotency_token=request.get("idempotency_token", ""),
        transparency_logging=options.get("certificate_transparency_logging_preference", "ENABLED"),
        export=options.get("export", "DISABLED"),
        tags=_merged({}, request.get("tags", ())),
    )
    tx.put(certificate)
    return {"certificate_arn": certificate.id}


def delete_certificate(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ResourceInUseException, ResourceNotFoundException, InvalidArnException."""
    certificate = require_certificate(tx, call, request["certificate_arn"])
    users = users_by_certificate(tx, call.account, call.region).get(certificate.id, [])
    if users:
        raise ApiError(
            "ResourceInUseException",
            f"Certificate {certificate.id} in account {call.account} is in use by {', '.join(users)}.",
        )
    tx.delete(certificate)
    return {}


def update_certificate_options(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ValidationException (imported; export cannot change), InvalidStateException (expired)."""
    certificate = require_certificate(tx, call, request["certificate_arn"])
    options = request["options"]
    if certificate.type == "IMPORTED":
        raise validation_error("The options of an imported certificate cannot be changed.")
    if status_of(certificate, request[WORLD_NOW]) != "ISSUED":
        raise ApiError("InvalidStateException", "The certificate is not in a state in which its options can change.")
    if options.get("export", certificate.export) != certificate.export:
        raise validation_error("The export option of a certificate that was issued cannot be changed.")
    preference = options.get("certificate_transparency_logging_preference", certificate.transparency_logging)
    tx.put(replace(certificate, transparency_logging=preference))
    return {}


def record_export(tx: Transaction, call: Call, request: Request) -> Answer:
    """Notes that the key was given out. Raises: ValidationException if it may not be."""
    certificate = require_certificate(tx, call, request["certificate_arn"])
    if certificate.export != "ENABLED":
        raise validation_error(f"Certificate ARN: {certificate.id} is not exportable.")
    tx.put(replace(certificate, exported=True))
    return {}


def put_account_configuration(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ValidationException."""
    days = (request.get("expiry_events") or {}).get("days_before_expiry")
    if days is None:
        raise ApiError("ValidationException", "Configuration for events is empty.")
    tx.put(AccountConfiguration(account=call.account, region=call.region, id="configuration", days_before_expiry=days))
    return {}
