"""Listeners with their default rule, and their certificates. Source: elb-api.md B2, alb.md §2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from elba.call import Answer, Call, Request
from elba.elbv2 import arns
from elba.elbv2.answers import listener_answer
from elba.elbv2.attributes import LISTENER
from elba.elbv2.certificates import CERTIFICATE_ARN, UNUSABLE_KEYS, find_certificate
from elba.elbv2.commands.actions import parse_actions
from elba.elbv2.commands.lookup import (
    default_rule_of,
    invalid_configuration,
    load_balancer_of,
    require_listener,
    require_load_balancer,
    validation_error,
)
from elba.elbv2.commands.tags import parse_tags
from elba.elbv2.commands.trust_stores import parse_mutual
from elba.elbv2.commands.usage import attach_groups, detach_unused_groups, groups_in_actions
from elba.elbv2.limits import LIMITS, VERIFY_LISTENERS_PER_LOAD_BALANCER
from elba.elbv2.resources import Listener, LoadBalancer, Rule
from elba.elbv2.ssl_policies import DEFAULT_POLICY, SSL_POLICIES
from elba.errors import ApiError
from elba.store.interface import Transaction, View

_PROTOCOLS = ("HTTP", "HTTPS")


def require_certificates(view: View, call: Call, certificate_arns: Iterable[str]) -> None:
    """Raises: ValidationError (malformed), CertificateNotFound, UnsupportedCertificate."""
    for arn in certificate_arns:
        if not CERTIFICATE_ARN.fullmatch(arn) and not arn.startswith("arn:"):
            raise validation_error(f"Certificate ARN '{arn}' is not valid")
        found = find_certificate(view, call.account, call.region, arn)
        if found is None:
            raise ApiError("CertificateNotFound", f"Certificate '{arn}' not found")
        if found.facts.key_algorithm in UNUSABLE_KEYS:
            raise ApiError("UnsupportedCertificate", f"The key of certificate '{arn}' is not supported")


class _Settings(msgspec.Struct, frozen=True):
    """The part of a listener that its protocol decides over."""

    port: int
    protocol: str
    certificates: list[str]
    ssl_policy: str
    mutual_authentication: dict[str, Any]


def _parse_settings(
    view: View, call: Call, balancer: LoadBalancer, request: Request, old: Listener | None
) -> _Settings:
    """Port, protocol and TLS of a request over `old`'s.

    Raises: ValidationError, CertificateNotFound, UnsupportedCertificate, SSLPolicyNotFound, TrustStoreNotFound,
    InvalidConfigurationRequest.
    """
    port = request.get("port") or (old.port if old else 0)
    protocol = request.get("protocol") or (old.protocol if old else "")
    if not port:
        raise validation_error("A listener port must be specified")
    if not protocol:
        raise validation_error("A listener protocol must be specified")
    if protocol not in _PROTOCOLS:
        raise validation_error(f"Listener protocol '{protocol}' must be one of '{', '.join(_PROTOCOLS)}'")
    if request.get("alpn_policy"):
        raise validation_error("You cannot set ALPN policy on load balancers of type 'application'")
    given = request.get("certificates")
    policy = request.get("ssl_policy")
    mutual = request.get("mutual_authentication")
    if protocol == "HTTP":
        if given:
            raise validation_error("A certificate cannot be specified for HTTP listeners")
        if policy:
            raise validation_error("An SSL policy cannot be specifed for HTTP listeners")
        if mutual and mutual.get("mode", "off") != "off":
            raise validation_error("Mutual Authentication cannot be set for non secure listeners")
        return _Settings(port, protocol, [], "", {})
    kept = old.certificates if old and old.protocol == protocol else []
    certificates = [entry.get("certificate_arn") or "" for entry in given] if given else kept[:1]
    if not certificates:
        raise validation_error(f"A certificate must be specified for {protocol} listeners")
    if len(certificates) > 1:
        raise validation_error(f"Up to '1' certificate ARNs can be specified, but '{len(certificates)}' were specified")
    if any(entry.get("is_default") is not None for entry in given or ()):
        raise validation_error("You cannot set IsDefault for a certificate of a listener")
    require_certificates(view, call, certificates)
    policy = policy or (old.ssl_policy if old and old.protocol == protocol else "") or DEFAULT_POLICY
    if policy not in SSL_POLICIES:
        raise ApiError("SSLPolicyNotFound", f"SSL policy '{policy}' not found")
    _require_family(view, balancer, old, policy)
    authentication = old.mutual_authentication if old else {}
    if mutual is not None:
        authentication = parse_mutual(view, call, mutual)
        if authentication.get("mode") == "verify":
            _require_verify_quota(view, balancer, old)
    return _Settings(port, protocol, [*certificates, *kept[1:]], policy, authentication)


def _require_family(view: View, balancer: LoadBalancer, listener: Listener | None, policy: str) -> None:
    """Raises: InvalidConfigurationRequest if the other HTTPS listeners are of another policy family (alb.md §2)."""
    for other in view.children(Listener, balancer.account, balancer.region, balancer.id):
        if listener is not None and other.id == listener.id:
            continue
        if other.ssl_policy and SSL_POLICIES[other.ssl_policy].family != SSL_POLICIES[policy].family:
            raise invalid_configuration(
                f"SSL policy '{policy}' cannot be used on a load balancer with a listener that has '{other.ssl_policy}'"
            )


def _require_verify_quota(view: View, balancer: LoadBalancer, listener: Listener | None) -> None:
    """Raises: InvalidConfigurationRequest if enough other listeners verify clients already (alb.md §16)."""
    others = view.children(Listener, balancer.account, balancer.region, balancer.id)
    verifying = [o for o in others if o.mutual_authentication.get("mode") == "verify"]
    if sum(listener is None or other.id != listener.id for other in verifying) >= VERIFY_LISTENERS_PER_LOAD_BALANCER:
        raise invalid_configuration(
            "You have reached the maximum number of listeners with mutual authentication with verify mode that you can "
            f"associate with load balancer '{balancer.id}': [{VERIFY_LISTENERS_PER_LOAD_BALANCER}]"
        )


def _find_on_port(view: View, balancer: LoadBalancer, port: int) -> Listener | None:
    listeners = view.children(Listener, balancer.account, balancer.region, balancer.id)
    return next((listener for listener in listeners if listener.port == port), None)


def _duplicate(balancer: LoadBalancer) -> ApiError:
    return ApiError(
        "DuplicateListener", f"A listener already exists on this port for this load balancer '{balancer.id}'"
    )


def create_listener(tx: Transaction, call: Call, request: Request) -> Answer:
    """A listener with its default rule. The same call again answers with the old one.

    Raises: LoadBalancerNotFound, ValidationError, CertificateNotFound, SSLPolicyNotFound, DuplicateListener,
    TooManyListeners, TooManyTags, what `parse_actions` and `attach_groups` raise.
    """
    balancer = require_load_balancer(tx, call, request["load_balancer_arn"])
    settings = _parse_settings(tx, call, balancer, request, None)
    actions = parse_actions(tx, call, balancer, settings.protocol, request["default_actions"])
    tags = parse_tags(request.get("tags"))
    old = _find_on_port(tx, balancer, settings.port)
    if old is not None:
        rule = default_rule_of(tx, old)
        present = _Settings(old.port, old.protocol, old.certificates[:1], old.ssl_policy, old.mutual_authentication)
        if present == settings and rule.actions == actions:
            return {"listeners": [listener_answer(old, rule)]}
        raise _duplicate(balancer)
    existing = tx.children(Listener, balancer.account, balancer.region, balancer.id)
    if len(existing) >= LIMITS["listeners-per-application-load-balancer"]:
        raise ApiError(
            "TooManyListeners", f"The maximum number of listeners has been reached on load balancer '{balancer.id}'"
        )
    attach_groups(tx, call, balancer, groups_in_actions(actions))
    listener = Listener(
        account=balancer.account,
        region=balancer.region,
        id=arns.listener_arn(balancer.id, call.ids.hex(16)),
        load_balancer_arn=balancer.id,
        port=settings.port,
        protocol=settings.protocol,
        certificates=settings.certificates,
        ssl_policy=settings.ssl_policy,
        mutual_authentication=settings.mutual_authentication,
        tags=tags,
    )
    rule = Rule(
        account=balancer.account,
        region=balancer.region,
        id=arns.rule_arn(listener.id, call.ids.hex(16)),
        listener_arn=listener.id,
        load_balancer_arn=balancer.id,
        priority="default",
        actions=actions,
    )
    tx.put(listener)
    tx.put(rule)
    return {"listeners": [listener_answer(listener, rule)]}


def modify_listener(tx: Transaction, call: Call, request: Request) -> Answer:
    """Changes what is given; lists are replaced whole. Raises: as `create_listener`, ListenerNotFound."""
    old = require_listener(tx, call, request["listener_arn"])
    balancer = load_balancer_of(tx, call, old)
    tls = ("certificates", "ssl_policy", "mutual_authentication")
    if any(request.get(key) for key in ("port", "protocol", "alpn_policy", *tls)):
        settings = _parse_settings(tx, call, balancer, request, old)
    else:
        settings = _Settings(old.port, old.protocol, old.certificates, old.ssl_policy, old.mutual_authentication)
    rule = default_rule_of(tx, old)
    actions = rule.actions
    if request.get("default_actions"):
        given = request["default_actions"]
        actions = parse_actions(tx, call, balancer, settings.protocol, given, old=rule.actions)
    elif settings.protocol != old.protocol:
        actions = parse_actions(tx, call, balancer, settings.protocol, rule.actions, old=rule.actions)
    taken = _find_on_port(tx, balancer, settings.port)
    if taken is not None and taken.id != old.id:
        raise _duplicate(balancer)
    before = groups_in_actions(rule.actions)
    attach_groups(tx, call, balancer, groups_in_actions(actions))
    rule = msgspec.structs.replace(rule, actions=actions)
    listener = msgspec.structs.replace(
        old,
        port=settings.port,
        protocol=settings.protocol,
        certificates=settings.certificates,
        ssl_policy=settings.ssl_policy,
        mutual_authentication=settings.mutual_authentication,
        attributes={k: v for k, v in old.attributes.items() if settings.protocol in LISTENER[k].kinds},
    )
    tx.put(listener)
    tx.put(rule)
    detach_unused_groups(tx, balancer, before)
    return {"listeners": [listener_answer(listener, rule)]}


def delete_listener_resources(tx: Transaction, balancer: LoadBalancer, listener: Listener) -> None:
    """Takes a listener and its rules away and lets go of the target groups that nothing else uses."""
    used: list[str] = []
    for rule in tx.children(Rule, listener.account, listener.region, listener.id):
        used += groups_in_actions(rule.actions)
        tx.delete(rule)
    tx.delete(listener)
    detach_unused_groups(tx, balancer, used)


def delete_listener(tx: Transaction, call: Call, request: Request) -> Answer:
    """Deletes a listener with its rules. Raises: ListenerNotFound."""
    listener = require_listener(tx, call, request["listener_arn"])
    delete_listener_resources(tx, load_balancer_of(tx, call, listener), listener)
    return {}


def add_listener_certificates(tx: Transaction, call: Call, request: Request) -> Answer:
    """Adds to the listener's certificate list (SNI). Raises: CertificateNotFound, InvalidConfigurationRequest."""
    listener = require_listener(tx, call, request["listener_arn"])
    given = list(request["certificates"])
    if any(entry.get("is_default") is not None for entry in given):
        raise validation_error("You cannot set IsDefault when adding certificates to a listener")
    if listener.protocol != "HTTPS":
        raise validation_error(f"A certificate cannot be specified for {listener.protocol} listeners")
    added = [entry.get("certificate_arn") or "" for entry in given]
    require_certificates(tx, call, added)
    # Default certificates do not count against the quota, those in lists do.
    listed = list(dict.fromkeys([*listener.certificates[1:], *added]))
    others = tx.children(Listener, listener.account, listener.region, listener.load_balancer_arn)
    elsewhere = {arn for other in others if other.id != listener.id for arn in other.certificates[1:]}
    if len(elsewhere.union(listed)) > LIMITS["certificates-per-application-load-balancer"]:
        raise ApiError("TooManyCertificates", "The maximum number of certificates per load balancer has been reached")
    tx.put(msgspec.structs.replace(listener, certificates=[*listener.certificates[:1], *listed]))
    return {"certificates": [{"certificate_arn": arn, "is_default": False} for arn in added]}


def remove_listener_certificates(tx: Transaction, call: Call, request: Request) -> Answer:
    """Takes certificates from the list; the default one stays. Raises: OperationNotPermitted."""
    listener = require_listener(tx, call, request["listener_arn"])
    gone = [entry.get("certificate_arn") or "" for entry in request["certificates"]]
    if any(entry.get("is_default") is not None for entry in request["certificates"]):
        raise validation_error("You cannot set IsDefault when removing certificates from a listener")
    default, listed = listener.certificates[:1], listener.certificates[1:]
    if any(arn in default and arn not in listed for arn in gone):
        raise ApiError("OperationNotPermitted", "The default certificate of a listener cannot be removed")
    kept = [arn for arn in listed if arn not in gone]
    tx.put(msgspec.structs.replace(listener, certificates=[*default, *kept]))
    return {}
