"""A real Prometheus reads a device's metrics, checks and loads the shipped rules, fires them, and answers every query of the dashboard.

    python -m tests.campaigns.prometheus --programs FOLDER

FOLDER holds `prometheus` and `promtool`, as Debian's package `prometheus` does below usr/bin.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
import yaml

from appliance.status.vitals import metrics
from tests.fakes.monitoring import DASHBOARD, RULES, expressions, of_a_full_device

SECONDS = 90


@contextmanager
def exporter(text: str) -> Iterator[int]:
    """Serve `/metrics` on loopback, as the node exporter serves the file that it collects."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def prometheus(programs: Path, folder: Path, target: int) -> Iterator[str]:
    """Run Prometheus on the shipped rules, their waits shortened, and yield its address."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    scrape = {"job_name": "trademl", "static_configs": [{"targets": [f"127.0.0.1:{target}"], "labels": {"device": "pi-desk"}}]}
    config = {"global": {"scrape_interval": "1s"}, "rule_files": ["rules.yml"], "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen([str(programs / "prometheus"), *arguments], stderr=log, stdout=log) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def until(deadline: float, ask: object) -> object:
    """Ask until the answer is true."""
    while time.monotonic() < deadline:
        try:
            if found := ask():  # type: ignore[operator]
                return found
        except (requests.RequestException, KeyError, ValueError):
            pass
        time.sleep(0.5)
    raise SystemExit("Prometheus did not answer in time")


def asked(url: str, path: str, **query: str) -> object:
    """Return the data of one answer."""
    return requests.get(f"{url}/api/v1/{path}", params=query, timeout=5).json()["data"]


def main() -> int:
    """Run the check; exit code 1 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True)
    programs = parser.parse_args().programs
    now = datetime.now(UTC)
    text = metrics(of_a_full_device(now), now - timedelta(minutes=10))
    linted = subprocess.run([str(programs / "promtool"), "check", "metrics"], input=text, text=True, capture_output=True)
    checked = subprocess.run([str(programs / "promtool"), "check", "rules", str(RULES)], text=True, capture_output=True)
    sys.stdout.write(
        f"promtool check metrics: {linted.returncode} {linted.stderr.strip()}\npromtool check rules: {checked.stdout.strip()}\n"
    )
    with TemporaryDirectory() as scratch, exporter(text) as target, prometheus(programs, Path(scratch), target) as url:
        deadline = time.monotonic() + SECONDS
        until(deadline, lambda: asked(url, "query", query="trademl_appliance_verdict")["result"])
        named = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]} - {"TrademlNotScraped"}

        def firing() -> set[str]:
            return {alert["labels"]["alertname"] for alert in asked(url, "alerts")["alerts"] if alert["state"] == "firing"}

        until(deadline, lambda: named <= firing())
        alerts = asked(url, "alerts")["alerts"]
        unnamed = sorted({a["labels"]["alertname"] for a in alerts if "pi-desk" not in a["annotations"]["summary"]} - {"TrademlNotScraped"})
        empty = [e for e in expressions(DASHBOARD) if not asked(url, "query", query=e.replace("$device", ".*"))["result"]]
    sys.stdout.write(f"{len(named)} rules fired, each with its device: {sorted(named)}\n")
    sys.stdout.write(
        f"{len(expressions(DASHBOARD)) - len(empty)} of {len(expressions(DASHBOARD))} queries of the dashboard have an answer\n"
    )
    for what, found in (("without their device", unnamed), ("queries without an answer", empty)):
        if found:
            sys.stdout.write(f"{what}: {found}\n")
    wrong = [line for line in linted.stderr.splitlines() if "base unit" not in line]  # an age in days is read by people
    return int(bool(unnamed or empty or wrong or checked.returncode))


if __name__ == "__main__":
    sys.exit(main())
