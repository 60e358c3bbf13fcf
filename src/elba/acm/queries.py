"""ACM's reading operations: pure functions over a view. No answer but ExportCertificate's holds a private key."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence

from elba.acm.lookup import WORLD_NOW, require_certificate, status_of, users_by_certificate
from elba.acm.resources import AccountConfiguration, Certificate
from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.store.interface import View
from elba.x509.reading import encrypted_key_pem

DEFAULT_PAGE = 100
DEFAULT_KEY_TYPES = ("RSA_1024", "RSA_2048")
"""What ListCertificates shows unless Includes names key types (ACM API reference, Filters)."""
MOST_SUMMARY_NAMES = 100


def describe_certificate(view: View, call: Call, request: Request) -> Answer:
    """Raises: InvalidArnException, ResourceNotFoundException."""
    certificate = require_certificate(view, call, request["certificate_arn"])
    users = users_by_certificate(view, call.account, call.region).get(certificate.id, [])
    facts = certificate.facts
    issued = certificate.type == "AMAZON_ISSUED"
    return {
        "certificate": {
            "certificate_arn": certificate.id,
            "domain_name": facts.domain_name or None,
            "subject_alternative_names": facts.names or None,
            "domain_validation_options": _validation(certificate) if issued else None,
            "serial": facts.serial,
            "subject": facts.subject,
            "issuer": facts.issuer,
            "created_at": certificate.created_at,
            "issued_at": certificate.issued_at or None,
            "imported_at": certificate.imported_at or None,
            "status": status_of(certificate, request[WORLD_NOW]),
            "not_before": facts.not_before,
            "not_after": facts.not_after,
            "key_algorithm": facts.key_algorithm,
            "signature_algorithm": facts.signature_algorithm,
            "in_use_by": users,
            "type": certificate.type,
            "key_usages": [{"name": name} for name in facts.key_usages],
            "extended_key_usages": [{"name": name, "oid": oid} for name, oid in facts.extended_key_usages],
            "renewal_eligibility": _eligibility(certificate, bool(users)),
            "options": {
                "certificate_transparency_logging_preference": certificate.transparency_logging,
                "export": certificate.export if issued else None,
            },
        }
    }


def _eligibility(certificate: Certificate, in_use: bool) -> str:
    used = in_use or certificate.exported
    return "ELIGIBLE" if certificate.type == "AMAZON_ISSUED" and used else "INELIGIBLE"


def _validation(certificate: Certificate) -> list[Answer]:
    """One per name, all validated. The CNAME is made up from account and name, as ACM's is: the same for both."""
    options = []
    for name in certificate.facts.names:
        bare = name.removeprefix("*.")
        option: Answer = {
            "domain_name": name,
            "validation_domain": certificate.validation_domains.get(name, name),
            "validation_status": "SUCCESS",
            "validation_method": certificate.validation_method,
        }
        if certificate.validation_method == "DNS":
            digest = hashlib.sha256(f"{certificate.account} {bare}".encode()).hexdigest()
            option["resource_record"] = {
                "name": f"_{digest[:32]}.{bare}.",
                "type": "CNAME",
                "value": f"_{digest[32:]}.acm-validations.aws.",
            }
        elif certificate.validation_method == "EMAIL":
            domain = certificate.validation_domains.get(name, bare)
            boxes = ("administrator", "hostmaster", "postmaster", "webmaster", "admin")
            option["validation_emails"] = [f"{box}@{domain}" for box in boxes]
        options.append(option)
    return options


def get_certificate(view: View, call: Call, request: Request) -> Answer:
    """Raises: InvalidArnException, ResourceNotFoundException."""
    certificate = require_certificate(view, call, request["certificate_arn"])
    # One that was imported without a chain is shown as its own, as ACM does.
    chain = certificate.chain or certificate.certificate
    return {"certificate": certificate.certificate, "certificate_chain": chain}


def export_certificate(view: View, call: Call, request: Request) -> Answer:
    """The certificate with its key, encrypted under the passphrase."""
    certificate = require_certificate(view, call, request["certificate_arn"])
    key = encrypted_key_pem(certificate.private_key, request["passphrase"])
    return {"certificate": certificate.certificate, "certificate_chain": certificate.chain, "private_key": key}


def list_tags_for_certificate(view: View, call: Call, request: Request) -> Answer:
    certificate = require_certificate(view, call, request["certificate_arn"])
    return {"tags": [{"key": key, "value": value} for key, value in certificate.tags.items()]}


def get_account_configuration(view: View, call: Call, _request: Request) -> Answer:
    found = view.get(AccountConfiguration, call.account, call.region, "configuration")
    return {"expiry_events": {"days_before_expiry": found.days_before_expiry if found else 45}}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────


def list_certificates(view: View, call: Call, request: Request) -> Answer:
    """Raises: InvalidArgsException (SortBy without SortOrder or the other way round), ValidationException (token)."""
    if ("sort_by" in request) != ("sort_order" in request):
        raise ApiError("InvalidArgsException", "SortBy and SortOrder must be given together.")
    now = request[WORLD_NOW]
    found = [c for c in view.all(Certificate, call.account, call.region) if _included(c, request, now)]
    found.sort(key=lambda c: (c.created_at, c.id), reverse=request.get("sort_order") == "DESCENDING")
    shown, token = _page(found, request)
    users = users_by_certificate(view, call.account, call.region)
    return {"certificate_summary_list": [_summary(c, now, c.id in users) for c in shown], "next_token": token}


def _included(certificate: Certificate, request: Request, now: float) -> bool:
    includes = request.get("includes", {})
    facts = certificate.facts
    statuses = request.get("certificate_statuses")
    origin = "AWS_MANAGED" if certificate.type == "AMAZON_ISSUED" else "CUSTOMER_PROVIDED"
    origins = request.get("certificate_key_pair_origins")
    usages = includes.get("key_usage")
    extended = includes.get("extended_key_usage")
    own = [name for name, _ in facts.extended_key_usages]
    return (
        (not statuses or status_of(certificate, now) in statuses)
        and facts.key_algorithm in (includes.get("key_types") or DEFAULT_KEY_TYPES)
        and (not origins or origin in origins)
        and (not usages or _all_in(usages, facts.key_usages))
        and (not extended or _all_in(extended, own or ["NONE"]))
        and ("export_option" not in includes or includes["export_option"] == certificate.export)
        and "managed_by" not in includes  # nothing is CloudFront's
    )


def _all_in(wanted: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a certificate with the usages `names` has all of `wanted`; ANY takes every certificate."""
    return all(name == "ANY" or name in names for name in wanted)


def _page(found: list[Certificate], request: Request) -> tuple[list[Certificate], str | None]:
    start = 0
    if token := request.get("next_token"):
        try:
            last = base64.urlsafe_b64decode(token.encode()).decode()
        except (binascii.Error, ValueError):
            raise ApiError("ValidationException", "The next token is not valid.") from None
        start = next((i + 1 for i, certificate in enumerate(found) if certificate.id == last), -1)
        if start < 0:
            raise ApiError("ValidationException", "The next token is not valid.")
    size = request.get("max_items", DEFAULT_PAGE)
    shown = found[start : start + size]
    more = start + size < len(found)
    return shown, base64.urlsafe_b64encode(shown[-1].id.encode()).decode() if more else None


def _summary(certificate: Certificate, now: float, in_use: bool) -> Answer:
    facts = certificate.facts
    return {
        "certificate_arn": certificate.id,
        "domain_name": facts.domain_name or None,
        "subject_alternative_name_summaries": facts.names[:MOST_SUMMARY_NAMES] or None,
        "has_additional_subject_alternative_names": len(facts.names) > MOST_SUMMARY_NAMES,
        "status": status_of(certificate, now),
        "type": certificate.type,
        "key_algorithm": facts.key_algorithm,
        "key_usages": facts.key_usages,
        "extended_key_usages": [name for name, _ in facts.extended_key_usages],
        "export_option": certificate.export if certificate.type == "AMAZON_ISSUED" else None,
        "in_use": in_use,
        "exported": certificate.exported,
        "renewal_eligibility": _eligibility(certificate, in_use),
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "created_at": certificate.created_at,
        "issued_at": certificate.issued_at or None,
        "imported_at": certificate.imported_at or None,
    }
