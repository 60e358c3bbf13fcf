"""The proxies under test, each with the same ports: plain, TLS (HTTP/2 by ALPN), three with 1, 10 and 100 path rules.

All add X-Forwarded-For, -Proto, -Port and a trace or request id, keep connections to the origin, and log nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cases import RULES
from processes import free_port, write

PORTS = ("plain", "tls", *(f"rules-{count}" for count in RULES))


@dataclass(frozen=True)
class Peer:
    command: list[str]
    ports: Mapping[str, int]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """Where everything is: a folder for files, the origin's port, the certificate and its key as PEM files."""

    folder: Path
    origin: int
    certificate: Path
    key: Path


def find_program(name: str) -> str | None:
    beside = Path(sys.executable).parent
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:{beside}")


def rule_paths(port: str) -> list[str]:
    """Path prefixes of the rules that this port has."""
    return [f"/r/{number}/" for number in range(int(port.removeprefix("rules-")))] if port.startswith("rules-") else []


def origin_config(folder: Path, port: int) -> str:
    return f"""
daemon off; worker_processes 1; pid {folder}/origin.pid; error_log {folder}/origin.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; sendfile on; tcp_nopush on; tcp_nodelay on;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /small {{ return 200 "0123456789abcdef0123456789abcdef"; }}
    location = /large {{ root {folder}; }}
    location = /64k {{ root {folder}; }}
    location / {{ return 200 "ok"; }}
  }}
}}
"""


def nginx_config(setting: Setting, ports: Mapping[str, int]) -> str:
    folder = setting.folder
    servers = []
    for name, port in ports.items():
        locations = "".join(f"location {path} {{ proxy_pass http://origin; }}\n" for path in rule_paths(name))
        tls = ""
        if name == "tls":
            tls = f"ssl_certificate {setting.certificate}; ssl_certificate_key {setting.key}; ssl_session_cache off;"
        listen = f"127.0.0.1:{port}{' ssl http2' if name == 'tls' else ''} backlog=4096"
        servers.append(f"server {{ listen {listen}; {tls}\n{locations} location / {{ proxy_pass http://origin; }} }}")
    return f"""
daemon off; worker_processes 1; pid {folder}/proxy.pid; error_log {folder}/proxy.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; tcp_nodelay on;
  client_body_temp_path {folder}/p1; proxy_temp_path {folder}/p2; fastcgi_temp_path {folder}/p3;
  uwsgi_temp_path {folder}/p4; scgi_temp_path {folder}/p5;
  upstream origin {{ server 127.0.0.1:{setting.origin}; keepalive 1024; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Amzn-Trace-Id "Root=$request_id";
  {" ".join(servers)}
}}
"""


def haproxy_config(setting: Setting, ports: Mapping[str, int]) -> str:
    frontends = []
    for name, port in ports.items():
        tls = f" ssl crt {setting.folder}/both.pem alpn h2,http/1.1" if name == "tls" else ""
        rules = "".join(f"  use_backend out if {{ path_beg {path} }}\n" for path in rule_paths(name))
        frontends.append(f"""
frontend {name}
  bind 127.0.0.1:{port}{tls} backlog 4096
  http-request set-header X-Forwarded-Proto {"https" if tls else "http"}
  http-request set-header X-Forwarded-Port {port}
  http-request set-header X-Amzn-Trace-Id Root=%[uuid()]
{rules}  default_backend out
""")
    return f"""
global
  nbthread 1
  maxconn 8192
  tune.ssl.cachesize 0
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
{"".join(frontends)}
backend out
  server origin 127.0.0.1:{setting.origin} pool-max-conn 4096
"""


def envoy_config(setting: Setting, ports: Mapping[str, int]) -> str:
    def listener(name: str, port: int) -> dict[str, object]:
        routes = [{"match": {"prefix": path}, "route": {"cluster": "origin"}} for path in [*rule_paths(name), "/"]]
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
            "HttpConnectionManager",
            "stat_prefix": name,
            "use_remote_address": True,
            "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "bench.example"},
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
                "request_headers_to_add": [{"header": {"key": "x-forwarded-port", "value": str(port)}}],
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }
            ],
        }
        chain: dict[str, object] = {
            "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        }
        if name == "tls":
            pair = {
                "certificate_chain": {"filename": str(setting.certificate)},
                "private_key": {"filename": str(setting.key)},
            }
            chain["transport_socket"] = {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]},
                },
            }
        return {
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [chain],
        }

    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": setting.origin}}}
    cluster = {
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "10s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": 8192, "max_pending_requests": 8192, "max_requests": 8192}]
        },
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }
    listeners = [listener(name, port) for name, port in ports.items()]
    return json.dumps({"static_resources": {"listeners": listeners, "clusters": [cluster]}})


def traefik_config(setting: Setting, ports: Mapping[str, int]) -> tuple[str, str]:
    """The static and the dynamic part; JSON is YAML too."""
    static = {
        "entryPoints": {
            name: {"address": f"127.0.0.1:{port}", "http2": {"maxConcurrentStreams": 250}}
            for name, port in ports.items()
        },
        "providers": {"file": {"filename": str(setting.folder / "traefik-dynamic.yaml")}},
        "log": {"level": "ERROR"},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
    routers = {}
    for name in ports:
        for path in [*rule_paths(name), "/"]:
            router: dict[str, object] = {"entryPoints": [name], "rule": f"PathPrefix(`{path}`)", "service": "origin"}
            if name == "tls":
                router["tls"] = {}
            routers[f"{name}-{path.strip('/').replace('/', '-') or 'rest'}"] = router
    dynamic = {
        "http": {
            "routers": routers,
            "services": {
                "origin": {
                    "loadBalancer": {
                        "servers": [{"url": f"http://127.0.0.1:{setting.origin}"}],
                        "serversTransport": "pooled",
                    }
                }
            },
            "serversTransports": {"pooled": {"maxIdleConnsPerHost": 1024}},
        },
        "tls": {"certificates": [{"certFile": str(setting.certificate), "keyFile": str(setting.key)}]},
    }
    return json.dumps(static), json.dumps(dynamic)


def node_config(
    ports: Mapping[str, int], origin: int, logs: Path | None = None, pair: tuple[str, str] = ("", "")
) -> str:
    """A stored snapshot: one load balancer, a listener a port, one target. AWS's defaults for all else; `logs`: the
    folder that an access log goes to; `pair`: certificate and key as PEM."""
    forward = [{"kind": "forward", "target_groups": [{"arn": "group"}]}]

    def listener(name: str, port: int) -> dict[str, object]:
        rules = [
            {
                "arn": f"{name}-{number}",
                "priority": number,
                "conditions": [{"field": "path-pattern", "values": [f"{path}*"]}],
                "actions": forward,
            }
            for number, path in enumerate(rule_paths(name), 1)
        ]
        listener: dict[str, object] = {
            "arn": f"listener-{name}",
            "port": port,
            "rules": [*rules, {"arn": f"{name}-default", "actions": forward}],
        }
        if name == "tls":
            listener["protocol"] = "HTTPS"
            listener["ssl_policy"] = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
            listener["certificates"] = [
                {"arn": "certificate", "chain": pair[0], "private_key": pair[1], "names": ["bench.example"]}
            ]
        return listener

    attributes = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "logs"} if logs else {}
    snapshot = {
        "version": 1,
        "node": {
            "id": "bench-a",
            "zone": "bench-a",
            "front_door": "",
            "workers": 1,
            "region": "us-east-1",
            "log_directory": str(logs or ""),
        },
        "load_balancers": [
            {
                "arn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/bench/0000000000000001",
                "name": "bench",
                "resource_id": "app/bench/0000000000000001",
                "account": "000000000000",
                "attributes": attributes,
                "dns_name": "bench-1.us-east-1.elb.localhost",
                "addresses": [{"zone": "bench-a", "address": "127.0.0.1"}],
                "listeners": [listener(name, port) for name, port in ports.items()],
            }
        ],
        "target_groups": [
            {
                "arn": "group",
                "name": "group",
                "health_check": {"path": "/"},
                "targets": [
                    {
                        "id": "i-1",
                        "port": origin,
                        "address": "127.0.0.1",
                        "zone": "bench-a",
                        "known_health": "healthy",
                    }
                ],
            }
        ],
    }
    return json.dumps({"format": 1, "content": snapshot})


def peers(setting: Setting, node: str) -> dict[str, Peer]:
    """Every proxy that is there."""
    folder = setting.folder
    pair = (setting.certificate.read_text(), setting.key.read_text())
    write(folder / "both.pem", "".join(pair))

    def ports() -> dict[str, int]:
        return {name: free_port() for name in PORTS}

    all_peers: dict[str, Peer] = {}
    for name, logs in (("elba-node", None), ("elba-node+log", folder / "buckets")):
        mine = ports()
        write(folder / name / "config.json", node_config(mine, setting.origin, logs, pair))
        arguments = ["--id", "bench-a", "--control", str(folder / f"{name}.control"), "--data-dir", str(folder / name)]
        all_peers[name] = Peer([node, *arguments, "--log-level", "warning"], mine)
    if nginx := find_program("nginx"):
        mine = ports()
        config = write(folder / "nginx.conf", nginx_config(setting, mine))
        all_peers["nginx"] = Peer([nginx, "-p", str(folder), "-c", config], mine)
    if haproxy := find_program("haproxy"):
        mine = ports()
        config = write(folder / "haproxy.cfg", haproxy_config(setting, mine))
        all_peers["haproxy"] = Peer([haproxy, "-f", config], mine)
    if envoy := find_program("envoy"):
        mine = ports()
        config = write(folder / "envoy.json", envoy_config(setting, mine))
        command = [envoy, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
        all_peers["envoy"] = Peer(command, mine)
    if traefik := find_program("traefik"):
        mine = ports()
        static, dynamic = traefik_config(setting, mine)
        write(folder / "traefik-dynamic.yaml", dynamic)
        command = [traefik, f"--configFile={write(folder / 'traefik.yaml', static)}"]
        all_peers["traefik"] = Peer(command, mine, {"GOMAXPROCS": "1"})
    return all_peers
