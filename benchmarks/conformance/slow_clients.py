"""slowhttptest against a zone node: a thousand clients that send slowly, or read slowly, beside an ordinary one.

    apt-get install slowhttptest nginx-light
    python benchmarks/conformance/slow_clients.py --node target/release/elba-node

Prints for each attack how many connections were held and how the ordinary client fared. (The tool's own probe fails in
the slow-read attack, against nginx alone as well.) Not run in CI.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "proxy"))

from peers import find_program, node_config
from processes import free_port

ORIGIN = """
%sdaemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events { worker_connections 8192; }
http {
  access_log off; client_body_temp_path body;
  proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server { listen 127.0.0.1:%d backlog=4096; root .; error_page 405 =200 /index.html; }
}
"""
ATTACKS = {"slow headers (-H)": "-H", "slow bodies (-B)": "-B", "slow reading (-X)": "-X"}


def ordinary(url: str, attack: subprocess.Popen[bytes]) -> list[float]:
    """How long each of a client's requests of 1 MiB took while the attack went on. Raises: OSError."""
    times = []
    while attack.poll() is None:
        began = time.monotonic()
        with urllib.request.urlopen(url, timeout=20) as answer:
            if answer.status != 200 or len(answer.read()) != 1 << 20:
                raise OSError("not served")
        times.append(time.monotonic() - began)
        time.sleep(0.2)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--node", default="target/release/elba-node")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, origin, port = Path(name), free_port(), free_port()
        home = folder / "node"
        home.mkdir()
        (home / "config.json").write_text(node_config({"plain": port}, origin))
        node = [options.node, "--id", "bench-a", "--control", str(home / "control"), "--data-dir", str(home)]
        (folder / "nginx.conf").write_text(ORIGIN % ("user root; " if os.getuid() == 0 else "", origin))
        (folder / "index.html").write_bytes(b"x" * (1 << 20))
        nginx = [find_program("nginx") or "nginx", "-p", str(folder), "-c", "nginx.conf"]
        with (
            subprocess.Popen(nginx, stderr=subprocess.DEVNULL) as server,
            subprocess.Popen([*node, "--log-level", "error"]) as proxy,
        ):
            try:
                time.sleep(2)
                for title, flag in ATTACKS.items():
                    report = folder / flag
                    command = ["slowhttptest", "-c", "1000", flag, "-i", "5", "-r", "400", "-p", "2", "-x", "24"]
                    command += ["-l", str(options.seconds), "-g", "-o", str(report), "-u", f"http://127.0.0.1:{port}/"]
                    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as attack:
                        times = ordinary(f"http://127.0.0.1:{port}/", attack)
                    rows = list(csv.DictReader(report.with_suffix(".csv").open()))
                    held = max(int(row["Connected"]) for row in rows)
                    median, worst = sorted(times)[len(times) // 2], max(times)
                    print(
                        f"{title}: up to {held} connections held; {len(times)} ordinary requests, all answered, ",
                        end="",
                    )
                    print(f"median {median * 1000:.0f} ms, longest {worst * 1000:.0f} ms")
            finally:
                server.terminate()
                proxy.terminate()


if __name__ == "__main__":
    main()
