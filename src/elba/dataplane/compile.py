"""Desired state in, a zone node's configuration out. Pure; the only place that knows both sides.

Every node of a region gets all load balancers of the region that are not failed, and the target groups they use:
its own zone's addresses are those it binds, but DNS and the front door on 127.0.0.1 are answered by any node.

`Compiler` keeps what it compiled: the structs are immutable, so a group or load balancer that did not change is the
same object in the next configuration, and a change of one target costs the work of one target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from elba.acm.lookup import authority_of
from elba.acm.resources import AUTHORITY_ID, Authority, Certificate
from elba.arc_zonal_shift.lookup import shifted_zone
from elba.arc_zonal_shift.resources import ZonalShift
from elba.dataplane import protocol
from elba.dataplane.admission import SecurityIndex, TargetAdmission, allowed_sources
from elba.dataplane.delta import same_target
from elba.dataplane.interface import Configuration, Place
from elba.ec2.addresses import host_address
from elba.ec2.edge_resources import PrefixList
from elba.ec2.resources import Instance, NetworkInterface, SecurityGroup, Vpc
from elba.elbv2.attributes import attributes_of_listener, attributes_of_load_balancer, attributes_of_target_group
from elba.elbv2.certificates import find_certificate
from elba.elbv2.commands.actions import AUTHENTICATING
from elba.elbv2.commands.lookup import rules_of
from elba.elbv2.commands.targets import is_in_vpc
from elba.elbv2.commands.usage import groups_in_actions
from elba.elbv2.resources import (
    CookieKeys,
    Listener,
    LoadBalancer,
    Rule,
    Target,
    TargetGroup,
    TargetHealth,
    TrustStore,
    TrustStoreRevocation,
)
from elba.elbv2.shifting import is_cross_zone, is_shifted
from elba.iam.resources import ServerCertificate
from elba.resource import Key
from elba.store.interface import View

_ENDING = ("stopping", "shutting-down")
_ENDED = ("stopped", "terminated")
_SHARED = {kind.KIND for kind in (Authority, Certificate, ServerCertificate, TrustStore, TrustStoreRevocation)}
"""What listeners of several load balancers may name."""
_FILTERS = {kind.KIND for kind in (SecurityGroup, NetworkInterface, PrefixList)}
_KINDS = {kind.KIND for kind in (LoadBalancer, CookieKeys, Listener, Rule, TargetGroup, Target, ZonalShift)}


# ── load balancers ───────────────────────────────────────────────────────────────────────────────────


def compile_load_balancer(view: View, balancer: LoadBalancer) -> protocol.LoadBalancer:
    """A load balancer with its listeners and rules, for any node."""
    listeners = view.children(Listener, balancer.account, balancer.region, balancer.id)
    keys = view.get(CookieKeys, balancer.account, balancer.region, balancer.id)
    return protocol.LoadBalancer(
        arn=balancer.id,
        name=balancer.load_balancer_name,
        resource_id=balancer.resource_id,
        dns_name=balancer.dns_name,
        kind=balancer.type,
        account=balancer.account,
        addresses=[protocol.ZoneAddress(zone=z.zone_name, address=z.host_address) for z in balancer.zones],
        listeners=[_listener(view, balancer, listener) for listener in listeners],
        attributes=attributes_of_load_balancer(balancer),
        cookie_keys=[protocol.CookieKey(id=id_, secret=secret) for id_, secret in keys.keys] if keys else [],
        shifted_zone=shifted_zone(view, balancer.account, balancer.region, balancer.id),
        **_of_guards(view, listeners, keys),
    )


def _of_guards(view: View, listeners: Iterable[Listener], keys: CookieKeys | None) -> dict[str, Any]:
    """What authenticate and jwt-validation actions need of their load balancer, if it has any."""
    if not any(_has_guards(view, listener) for listener in listeners):
        return {}
    authority = authority_of(view)
    signing = [protocol.IdentityKey(id=id_, private_key=key) for id_, key in keys.identity_keys] if keys else []
    return {
        "identity_key": signing[0] if signing else None,
        "trusted_roots": authority.certificate if authority else "",
    }


def _has_guards(view: View, listener: Listener) -> bool:
    return any(action["type"] in AUTHENTICATING for rule in rules_of(view, listener) for action in rule.actions)


def _listener(view: View, balancer: LoadBalancer, listener: Listener) -> protocol.Listener:
    certificates = dict.fromkeys(listener.certificates)  # a default one may be in the list too
    return protocol.Listener(
        arn=listener.id,
        port=listener.port,
        protocol=listener.protocol,
        rules=[compile_rule(rule) for rule in rules_of(view, listener)],
        certificates=[c for arn in certificates if (c := _certificate(view, listener, arn)) is not None],
        ssl_policy=listener.ssl_policy,
        mutual_tls=_mutual_tls(view, listener),
        attributes=attributes_of_listener(listener),
        allowed_sources=allowed_sources(view, balancer, listener.port),
    )


def _certificate(view: View, listener: Listener, arn: str) -> protocol.Certificate | None:
    found = find_certificate(view, listener.account, listener.region, arn)
    if found is None:  # never: one that is in use cannot be deleted
        return None
    # A chain may repeat the certificate.
    chain = found.certificate + found.chain.removeprefix(found.certificate)
    return protocol.Certificate(arn=arn, chain=chain, private_key=found.private_key, names=found.facts.names)


def _mutual_tls(view: View, listener: Listener) -> protocol.MutualTls | None:
    given = listener.mutual_authentication
    if not given:
        return None
    arn = given.get("trust_store_arn", "")
    store = view.get(TrustStore, listener.account, listener.region, arn)
    return protocol.MutualTls(
        mode=given["mode"],
        trust_store_arn=arn,
        ca_bundle=store.ca_bundle if store else "",
        crls=[r.content for r in view.children(TrustStoreRevocation, listener.account, listener.region, arn)],
        ignore_expiry=given.get("ignore_client_certificate_expiry", False),
        advertise_names=given.get("advertise_trust_store_ca_names") == "on",
    )


def compile_rule(rule: Rule) -> protocol.Rule:
    return protocol.Rule(
        arn=rule.id,
        priority=0 if rule.is_default else int(rule.priority),
        conditions=[_condition(condition) for condition in rule.conditions],
        actions=[_action(action) for action in rule.actions],
        transforms=[_transform(transform) for transform in rule.transforms],
    )


def _condition(condition: dict[str, Any]) -> protocol.Condition:
    field = condition["field"]
    config = condition[f"{field.replace('-', '_')}_config"]
    if field == "query-string":
        query = [protocol.KeyValue(key=pair.get("key", ""), value=pair["value"]) for pair in config["values"]]
        return protocol.Condition(field=field, query=query)
    return protocol.Condition(
        field=field,
        values=config.get("values", []),
        regex_values=config.get("regex_values", []),
        header_name=config.get("http_header_name", ""),
    )


def _transform(transform: dict[str, Any]) -> protocol.Transform:
    config = transform[f"{transform['type'].replace('-', '_')}_config"]
    rewrites = [protocol.Rewrite(regex=r["regex"], replace=r["replace"]) for r in config["rewrites"]]
    return protocol.Transform(kind=transform["type"], rewrites=rewrites)


def _action(action: dict[str, Any]) -> protocol.Action:
    kind = action["type"]
    if kind == "forward":
        config = action["forward_config"]
        stickiness = config["target_group_stickiness_config"]
        return protocol.Action(
            kind=kind,
            target_groups=[
                protocol.WeightedTargetGroup(arn=share["target_group_arn"], weight=share["weight"])
                for share in config["target_groups"]
            ],
            group_stickiness_seconds=float(stickiness["duration_seconds"]) if stickiness["enabled"] else None,
        )
    if kind == "redirect":
        config = action["redirect_config"]
        return protocol.Action(
            kind=kind,
            redirect=protocol.Redirect(
                protocol=config["protocol"],
                host=config["host"],
                port=config["port"],
                path=config["path"],
                query=config["query"],
                status=int(config["status_code"].removeprefix("HTTP_")),
            ),
        )
    if kind == "fixed-response":
        config = action["fixed_response_config"]
        return protocol.Action(
            kind=kind,
            fixed_response=protocol.FixedResponse(
                status=int(config["status_code"]),
                body=config.get("message_body", ""),
                content_type=config.get("content_type") or "text/plain",
            ),
        )
    if kind == "authenticate-oidc":
        return protocol.Action(kind=kind, authenticate=_authenticate(action["authenticate_oidc_config"]))
    if kind == "jwt-validation":
        return protocol.Action(kind=kind, jwt=_jwt(action["jwt_validation_config"]))
    if kind == "authenticate-cognito":
        return protocol.Action(kind=kind, authenticate=_cognito(action["authenticate_cognito_config"]))
    return protocol.Action(kind=kind)


def _cognito(config: dict[str, Any]) -> protocol.Authenticate:
    """The endpoints of a user pool: of its own domain, or of Cognito's. Its client's secret is not known here."""
    region, pool = config["user_pool_arn"].split(":")[3], config["user_pool_arn"].rpartition("/")[2]
    domain = config["user_pool_domain"]
    host = domain if "." in domain else f"{domain}.auth.{region}.amazoncognito.com"
    return _authenticate(
        {
            **config,
            "issuer": f"https://cognito-idp.{region}.amazonaws.com/{pool}",
            "authorization_endpoint": f"https://{host}/oauth2/authorize",
            "token_endpoint": f"https://{host}/oauth2/token",
            "user_info_endpoint": f"https://{host}/oauth2/userInfo",
            "client_id": config["user_pool_client_id"],
            "client_secret": "",
        }
    )


def _authenticate(config: dict[str, Any]) -> protocol.Authenticate:
    extra = config.get("authentication_request_extra_params") or {}
    return protocol.Authenticate(
        issuer=config["issuer"],
        authorization_endpoint=config["authorization_endpoint"],
        token_endpoint=config["token_endpoint"],
        user_info_endpoint=config["user_info_endpoint"],
        client_id=config["client_id"],
        client_secret=config["client_secret"],
        session_cookie_name=config["session_cookie_name"],
        scope=config["scope"],
        session_timeout_seconds=float(config["session_timeout"]),
        extra_parameters=[protocol.KeyValue(key=key, value=value) for key, value in extra.items()],
        on_unauthenticated=config["on_unauthenticated_request"],
    )


def _jwt(config: dict[str, Any]) -> protocol.JwtValidation:
    return protocol.JwtValidation(
        jwks_endpoint=config["jwks_endpoint"],
        issuer=config["issuer"],
        claims=[
            protocol.JwtClaim(name=claim["name"], format=claim["format"], values=list(claim["values"]))
            for claim in config.get("additional_claims") or ()
        ],
    )


# ── target groups ────────────────────────────────────────────────────────────────────────────────────


def _percentage(text: str) -> float | None:
    return None if text == "off" else float(text)


def compile_group_settings(group: TargetGroup) -> protocol.TargetGroup:
    """A target group without its targets."""
    of = attributes_of_target_group(group)
    routing = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
    dns = "target_group_health.dns_failover.minimum_healthy_targets"
    count = of.get(f"{dns}.count", "1")
    app_cookie = of.get("stickiness.type") == "app_cookie"
    duration = of.get(f"stickiness.{'app' if app_cookie else 'lb'}_cookie.duration_seconds", "86400")
    return protocol.TargetGroup(
        arn=group.id,
        name=group.target_group_name,
        resource_id=group.resource_id,
        protocol=group.protocol or "HTTP",
        protocol_version=group.protocol_version or "HTTP1",
        target_type=group.target_type,
        algorithm=of.get("load_balancing.algorithm.type", "round_robin"),
        anomaly_mitigation=of.get("load_balancing.algorithm.anomaly_mitigation") == "on",
        # An application load balancer's own setting is always on.
        cross_zone=is_cross_zone(group),
        slow_start_seconds=float(of.get("slow_start.duration_seconds", "0")),
        stickiness_enabled=of.get("stickiness.enabled") == "true",
        stickiness_type=of.get("stickiness.type", "lb_cookie"),
        stickiness_seconds=float(duration),
        app_cookie_name=of.get("stickiness.app_cookie.cookie_name", ""),
        routing_minimum_healthy_count=int(of.get(f"{routing}.count", "1")),
        routing_minimum_healthy_percentage=_percentage(of.get(f"{routing}.percentage", "off")),
        dns_minimum_healthy_count=None if count == "off" else int(count),
        dns_minimum_healthy_percentage=_percentage(of.get(f"{dns}.percentage", "off")),
        health_check=_health_check(group),
        multi_value_headers=of.get("lambda.multi_value_headers.enabled") == "true",
    )


def _health_check(group: TargetGroup) -> protocol.HealthCheck:
    port = group.health_check_port
    grpc = group.protocol_version == "GRPC"
    return protocol.HealthCheck(
        enabled=group.health_check_enabled,
        protocol=group.health_check_protocol or "HTTP",
        port=None if port in (None, "traffic-port") else int(port),
        path=group.health_check_path or "/",
        interval_seconds=float(group.health_check_interval_seconds),
        timeout_seconds=float(group.health_check_timeout_seconds),
        healthy_threshold=group.healthy_threshold_count,
        unhealthy_threshold=group.unhealthy_threshold_count,
        matcher=group.matcher.get("grpc_code" if grpc else "http_code", "200").replace(" ", ""),
        grpc=grpc,
    )


def compile_target(
    view: View, group: TargetGroup, target: Target, refused: tuple[bool, bool] = (False, False)
) -> protocol.Target | None:
    """A target as nodes see it; None while nothing could reach it (its instance is stopped or gone).

    An instance that is stopping takes no new requests, as if it were draining. `refused`: whether security groups
    keep load balancers from its port, and from its health check port.
    """
    state = "draining" if target.draining_since else "active"
    if group.target_type == "instance":
        instance = view.get(Instance, group.account, group.region, target.target_id)
        if instance is None or instance.state in _ENDED:
            return None
        if instance.state in _ENDING:
            state = "draining"
        address, private, zone = instance.host_address, instance.private_ip_address, instance.availability_zone
    elif group.target_type == "ip":
        address, private, zone = _address_of_ip(view, group, target.target_id), target.target_id, ""
        zone = target.availability_zone
    elif group.target_type == "lambda":
        # A function is in every zone and has no address: the node asks the control plane to invoke it.
        known = view.get(TargetHealth, target.account, target.region, target.id)
        health_state = known.state if known else ""
        return protocol.Target(id=target.target_id, port=0, address="", state=state, known_health=health_state)
    else:
        return None
    health = view.get(TargetHealth, target.account, target.region, target.id)
    return protocol.Target(
        id=target.target_id,
        port=target.port,
        address=address,
        zone=zone,
        state=state,
        known_health=health.state if health else "",
        host_header=private if target.port in (80, 443) else f"{private}:{target.port}",
        refused=refused[0],
        check_refused=refused[1],
        shifted=is_shifted(view, group, zone),
    )


def _address_of_ip(view: View, group: TargetGroup, ip: str) -> str:
    """Where the node reaches an ip target: one in the VPC at its host address, any other as it is."""
    vpc = view.get(Vpc, group.account, group.region, group.vpc_id or "")
    return host_address(vpc, ip) if vpc and ":" not in ip and is_in_vpc(view, group, ip) else ip


# ── configurations ───────────────────────────────────────────────────────────────────────────────────


class _Group:
    """A compiled group under way: settings and targets apart, so that one target can be replaced."""

    __slots__ = ("compiled", "settings", "targets")

    def __init__(self, view: View, group: TargetGroup, security: SecurityIndex) -> None:
        self.settings = compile_group_settings(group)
        self.targets: dict[str, protocol.Target] = {}
        self.compiled: protocol.TargetGroup | None = None
        admission = TargetAdmission(view, group)
        for target in view.children(Target, group.account, group.region, group.id):
            self.refresh(view, group, target, admission, security)

    def refresh(
        self, view: View, group: TargetGroup, target: Target, admission: TargetAdmission, security: SecurityIndex
    ) -> None:
        traffic, check, groups = admission.of(target)
        security.note_targets(group.key, groups)
        compiled, known = compile_target(view, group, target, (traffic, check)), self.targets.get(target.id)
        if compiled is None:
            if self.targets.pop(target.id, None) is None:
                return
        elif known is not None and same_target(known, compiled):
            return
        else:
            self.targets[target.id] = compiled
        self.compiled = None

    def result(self) -> protocol.TargetGroup:
        if self.compiled is None:
            self.compiled = msgspec.structs.replace(self.settings, targets=list(self.targets.values()))
        return self.compiled


class Compiler:
    """Compiles configurations of one store, keeping what did not change. `changed` must hear of every change."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._balancers: dict[Key, protocol.LoadBalancer] = {}
        self._groups: dict[Key, _Group] = {}
        self._targets_of_instance: dict[tuple[str, str, str], set[Key]] = {}
        self._dirty_targets: set[Key] = set()
        self._usage: dict[Key, list[str]] = {}
        self._users: dict[tuple[str, str], set[Key]] = {}
        """(kind, id) of what is shared to the load balancers that were compiled from it."""
        self._security = SecurityIndex(view)

    def changed(self, keys: Iterable[Key]) -> None:
        """Forget what was compiled from these resources."""
        for key in keys:
            if key.kind == Target.KIND:
                self._dirty_targets.add(key)
            elif key.kind == Instance.KIND:
                self._dirty_targets |= self._targets_of_instance.get(key[1:], set())
            elif key.kind == TargetGroup.KIND:
                # Settings only: its targets are as they were, but for the instances' VPC, which never changes.
                self._refresh_settings(key)
            elif key.kind in _SHARED:
                for user in self._users_of(key):
                    self._forget(user)
            elif key.kind in _FILTERS:
                for user in self._security.balancers(key):
                    self._forget(user)
                self._dirty_targets |= self._targets_behind(key)
            elif (balancer := self._balancer_of(key)) is not None:
                self._forget(balancer)
                if key.kind in (LoadBalancer.KIND, ZonalShift.KIND):  # its security groups may be others now
                    self._dirty_targets |= self._targets_of_balancer(balancer)

    def _targets_behind(self, key: Key) -> set[Key]:
        """The targets, in groups in use, that a changed security group or network interface bears on."""
        if key.kind == NetworkInterface.KIND:
            interface = self._view.get(NetworkInterface, key.account, key.region, key.id)
            address = interface.private_ip_address if interface else ""
            return self._targets_of_instance.get((key.account, key.region, address), set())
        return {
            target.key
            for group in self._security.target_groups(key)
            for target in self._view.children(Target, group.account, group.region, group.id)
        }

    def _targets_of_balancer(self, key: Key) -> set[Key]:
        balancer = self._view.get(LoadBalancer, key.account, key.region, key.id)
        groups = [] if balancer is None else list(_groups_used(self._view, balancer))
        found = (self._view.children(Target, key.account, key.region, arn) for arn in groups)
        return {target.key for targets in found for target in targets}

    def _forget(self, balancer: Key) -> None:
        self._balancers.pop(balancer, None)
        self._usage.pop(balancer, None)

    def _users_of(self, key: Key) -> set[Key]:
        """The load balancers that were compiled from a shared resource."""
        if key.kind == TrustStoreRevocation.KIND:
            key = key._replace(kind=TrustStore.KIND, id=key.id.partition("|")[0])
        found = self._users.get((key.kind, key.id), set())
        found -= {user for user in found if self._view.get(LoadBalancer, *user[1:]) is None}
        return {user for user in found if user.account == key.account}

    def _refresh_settings(self, key: Key) -> None:
        group = self._view.get(TargetGroup, key.account, key.region, key.id)
        kept = self._groups.get(key)
        if kept is None:
            return
        if group is None or not group.load_balancer_arns:
            del self._groups[key]  # used again, it starts with the health that is known then
            return
        settings = compile_group_settings(group)
        if settings != kept.settings:
            kept.settings, kept.compiled = settings, None
        # other load balancers, or another health check port: security groups may say something else
        self._dirty_targets |= {t.key for t in self._view.children(Target, key.account, key.region, key.id)}

    def concerns(self, key: Key) -> bool:
        """Whether a changed resource may change a configuration; for instances: whether it is a target."""
        if key.kind == Instance.KIND:
            return bool(self._targets_of_instance.get(key[1:]))
        if key.kind in _FILTERS:
            return bool(self._security.balancers(key) or self._targets_behind(key))
        return key.kind in _KINDS

    def regions(self, key: Key) -> set[str]:
        """The regions whose configurations a changed resource may change."""
        if key.kind in _SHARED:
            return {user.region for user in self._users_of(key)}
        return {key.region} if self.concerns(key) else set()

    def targets_of_instance(self, instance: Key) -> set[Key]:
        """The targets, in groups in use, that an instance is."""
        return self._targets_of_instance.get(instance[1:], set())

    def _balancer_of(self, key: Key) -> Key | None:
        """The load balancer whose compiled form a changed resource is part of."""
        if key.kind == ZonalShift.KIND:
            shift = self._view.get(ZonalShift, key.account, key.region, key.id)
            return key._replace(kind=LoadBalancer.KIND, id=shift.resource_arn) if shift else None
        if key.kind in (LoadBalancer.KIND, CookieKeys.KIND):
            return key._replace(kind=LoadBalancer.KIND)
        if key.kind == Listener.KIND:
            arn = key.id.rpartition("/")[0].replace(":listener/", ":loadbalancer/", 1)
        elif key.kind == Rule.KIND:
            arn = key.id.rsplit("/", 2)[0].replace(":listener-rule/", ":loadbalancer/", 1)
        else:
            return None
        return Key(LoadBalancer.KIND, key.account, key.region, arn)

    def compile(self, place: Place) -> Configuration:
        """What the node at `place` should have now."""
        self._refresh_targets()
        balancers = [b for b in self._view.all(LoadBalancer, None, place.region) if b.state_code != "failed"]
        compiled = [self._compiled_balancer(balancer) for balancer in balancers]
        groups: dict[Key, protocol.TargetGroup] = {}
        for balancer in balancers:
            for arn in self._usage[balancer.key]:
                key = Key(TargetGroup.KIND, balancer.account, balancer.region, arn)
                if key not in groups and (group := self._compiled_group(key)) is not None:
                    groups[key] = group
        return Configuration(compiled, list(groups.values()))

    def _compiled_balancer(self, balancer: LoadBalancer) -> protocol.LoadBalancer:
        key = balancer.key
        if key not in self._balancers:
            self._balancers[key] = compile_load_balancer(self._view, balancer)
            self._usage[key] = list(_groups_used(self._view, balancer))
            self._security.note_balancer(balancer)
            for name in _shared_used(self._view, balancer):
                self._users.setdefault(name, set()).add(key)
        return self._balancers[key]

    def _compiled_group(self, key: Key) -> protocol.TargetGroup | None:
        kept = self._groups.get(key)
        if kept is None:
            group = self._view.get(TargetGroup, key.account, key.region, key.id)
            if group is None:
                return None
            kept = self._groups[key] = _Group(self._view, group, self._security)
            for target in self._view.children(Target, key.account, key.region, key.id):
                self._index(target)
        return kept.result()

    def _index(self, target: Target) -> None:
        self._targets_of_instance.setdefault((target.account, target.region, target.target_id), set()).add(target.key)

    def _refresh_targets(self) -> None:
        dirty, self._dirty_targets = self._dirty_targets, set()
        admissions: dict[Key, TargetAdmission] = {}
        for key in dirty:
            group_arn, _, rest = key.id.partition("|")
            group_key = Key(TargetGroup.KIND, key.account, key.region, group_arn)
            kept = self._groups.get(group_key)
            target = self._view.get(Target, key.account, key.region, key.id)
            if target is not None:
                self._index(target)
            else:
                instance = (key.account, key.region, rest.rpartition(":")[0])
                known = self._targets_of_instance.get(instance, set())
                known.discard(key)
                if not known:
                    self._targets_of_instance.pop(instance, None)
            if kept is None:
                continue
            group = self._view.get(TargetGroup, key.account, key.region, group_arn)
            if target is None or group is None:
                kept.targets.pop(key.id, None)
                kept.compiled = None
            else:
                admission = admissions.get(group_key) or TargetAdmission(self._view, group)
                admissions[group_key] = admission
                kept.refresh(self._view, group, target, admission, self._security)


def _groups_used(view: View, balancer: LoadBalancer) -> Iterator[str]:
    seen: set[str] = set()
    for listener in view.children(Listener, balancer.account, balancer.region, balancer.id):
        for rule in view.children(Rule, balancer.account, balancer.region, listener.id):
            for arn in groups_in_actions(rule.actions):
                if arn not in seen:
                    seen.add(arn)
                    yield arn


def _shared_used(view: View, balancer: LoadBalancer) -> Iterator[tuple[str, str]]:
    """(kind, id) of the certificates and trust stores of its listeners."""
    for listener in view.children(Listener, balancer.account, balancer.region, balancer.id):
        for arn in listener.certificates:
            found = find_certificate(view, balancer.account, balancer.region, arn)
            if found is not None:
                yield found.KIND, found.id
        if store := listener.mutual_authentication.get("trust_store_arn"):
            yield TrustStore.KIND, store
        if _has_guards(view, listener):
            yield Authority.KIND, AUTHORITY_ID


def compile_place(view: View, place: Place) -> Configuration:
    """What the node at `place` should have, compiled afresh."""
    return Compiler(view).compile(place)
