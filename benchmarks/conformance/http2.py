"""h2spec's cases of HTTP/2 and HPACK against a zone node's HTTPS listener, and against nginx and HAProxy beside it.

    go install github.com/summerwind/h2spec/cmd/h2spec@latest
    python benchmarks/conformance/http2.py --node target/release/elba-node [--strict]

Each has the same nginx behind it, reached over HTTP/1.1, which answers every path. Prints each score and the cases
that did not pass. Leaves out a peer that is not there; needs nginx, openssl and h2spec. Not run in CI.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parents[1] / "proxy"))

from peers import Setting, find_program, origin_config, peers
from processes import LOAD_CORE, PROXY_CORE, free_port, running, wait_until_serving, write
from run import make_certificate

SUBJECTS = ("elba-node", "nginx", "haproxy")


def report(program: str, port: int, path: Path, options: list[str]) -> tuple[str, list[str]]:
    """The score, and the cases that failed or were skipped. Raises: OSError, CalledProcessError (no report)."""
    command = [
        program,
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-P",
        "/small",
        "-t",
        "-k",
        "-o",
        "3",
        "-j",
        str(path),
        *options,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    scores = [line for line in ran.stdout.splitlines() if " tests, " in line]
    if not scores:
        raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr)
    others = []
    for case in ElementTree.parse(path).iter("testcase"):
        outcome = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), None)
        if outcome:
            others.append(f"{outcome}: {case.get('package')}: {case.get('classname')}")
    return scores[-1], others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--node", default="target/release/elba-node")
    parser.add_argument("--h2spec", default=find_program("h2spec") or "h2spec")
    parser.add_argument("--strict", action="store_true", help="the cases that h2spec calls strict, too")
    parser.add_argument("--only", choices=SUBJECTS, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, origin = Path(name), free_port()
        folder.chmod(0o755)  # nginx's workers may be another user
        (folder / "large").write_bytes(os.urandom(1 << 20))
        config = write(folder / "origin.conf", origin_config(folder, origin))
        log = folder / "origin.log"
        command = [find_program("nginx") or "nginx", "-p", str(folder), "-c", config]
        server = stack.enter_context(running(command, LOAD_CORE, log))
        wait_until_serving(origin, "/small", server, log)
        setting = Setting(folder, origin, *make_certificate(folder))
        for subject, peer in peers(setting, options.node).items():
            if subject not in (options.only or SUBJECTS):
                continue
            log = folder / f"{subject}.log"
            process = stack.enter_context(running(peer.command, PROXY_CORE, log, peer.environment))
            wait_until_serving(peer.ports["tls"], "/small", process, log, "https")
            strict = ["--strict"] if options.strict else []
            score, others = report(options.h2spec, peer.ports["tls"], folder / f"{subject}.xml", strict)
            print(f"{subject}: {score}", *others, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
