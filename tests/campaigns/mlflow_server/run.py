"""The registry's mirror in a real MLflow server, over HTTP: `make mlflow-server`.

The server is the whole package of the version that the trainer's client is pinned to, in an environment of its own
under `var/mlflow-server`, with SQLite behind it and artifacts through it. It is asked back with plain requests, not by
the client that wrote to it; it is killed while records are missing, and comes back.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.fakes.champions import SLEEVE, add

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "var" / "mlflow-server" / "bin" / "mlflow"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}  # of the campaign and the server
API = "/api/2.0/mlflow"
STARTS_WITHIN = 120.0  # seconds; the first start makes its tables


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]

    def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}{API}/{path}", params=query, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def versions(self) -> dict[str, dict[str, Any]]:
        """Model versions by the number of their record, each with its tags."""
        found = self.get("model-versions/search", filter=f"name='{SLEEVE}'").get("model_versions", [])
        tagged = [(version, {tag["key"]: tag["value"] for tag in version.get("tags", [])}) for version in found]
        assert len({tags["record"] for _, tags in tagged}) == len(tagged), "a record was mirrored twice"
        return {tags["record"]: {**version, "tags": tags} for version, tags in tagged}

    def aliases(self) -> dict[str, str]:
        """Alias -> number of the record it names."""
        by_version = {version["version"]: record for record, version in self.versions().items()}
        model = self.get("registered-models/get", name=SLEEVE)["registered_model"]
        return {row["alias"]: by_version[row["version"]] for row in model.get("aliases", [])}


@contextmanager
def served(folder: Path, port: int) -> Iterator[Server]:
    """Serve what `folder` holds until the block ends."""
    command = [str(PROGRAM), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'store.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | QUIET, stdout=log, stderr=log, start_new_session=True)
    try:
        found = Server(f"http://127.0.0.1:{port}", process)
        _wait(found)
        yield found
    finally:
        _end(process)
        process.wait(30)


def kill(server: Server) -> None:
    """End the server and its workers without a word."""
    _end(server.process)
    server.process.wait(30)


def trainer(registry: Path, uri: str, version: str, *, exits: int) -> str:
    """Roll back by the command, as a person does; return what it said."""
    words = ["rollback", "--sleeve", SLEEVE, "--version", version, "--reason", "campaign", "--registry", str(registry)]
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *words, "--tracking", uri, "--json"],
        cwd=ROOT,
        env=os.environ | QUIET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exits, (done.returncode, done.stdout, done.stderr)
    if exits == 0:
        assert json.loads(done.stdout)["version"] == version, "a mirror may not write into the answer"
    return done.stdout + done.stderr


def campaign(folder: Path) -> dict[str, Any]:
    """Mirror, kill, refuse, come back, catch up; return the figures."""
    from trainer.promotion import mlflow_mirror

    registry, port, began = folder / "registry", _free_port(), time.monotonic()
    registry.mkdir()
    add(registry, "promoted", "1.0.0")
    add(registry, "refused", None, 0.5, "b")
    with served(folder, port) as server:
        release = requests.get(f"{server.url}/version", timeout=10).text
        client = mlflow_mirror.client(server.url)
        mlflow_mirror.sync(client, registry, SLEEVE)
        assert server.aliases() == {"champion": "1", "challenger": "2"}
        _is_whole(server, registry, folder)
        add(registry, "promoted", "1.1.0", 1.5, "c")
        kill(server)
        said = trainer(registry, server.url, "1.0.0", exits=2)
        assert "the tracking store failed" in said and "catches up" in said
    with served(folder, port) as server:
        assert server.aliases() == {"champion": "1", "challenger": "2"}, "a dead server was written to"
        trainer(registry, server.url, "1.0.0", exits=0)
        assert server.aliases() == {"champion": "1"} and len(server.versions()) == 3
        before = server.versions()
        mlflow_mirror.sync(mlflow_mirror.client(server.url), registry, SLEEVE)
        assert server.versions() == before, "mirroring again changed something"
        other = folder / "other"
        other.mkdir()
        add(other, "promoted", "1.0.0", 1.9)
        assert "differs from what was mirrored" in trainer_sync(other, server.url)
        assert server.versions() == before
    return {"server": release, "versions": len(before), "seconds": round(time.monotonic() - began, 1)}


def trainer_sync(registry: Path, uri: str) -> str:
    """Mirror a registry and return the refusal."""
    from signals.errors import FixInput
    from trainer.promotion import mlflow_mirror

    try:
        mlflow_mirror.sync(mlflow_mirror.client(uri), registry, SLEEVE)
    except FixInput as error:
        return str(error)
    return ""


def _is_whole(server: Server, registry: Path, folder: Path) -> None:
    """A run has its figures and parameters, and the very case that was judged, kept by the server."""
    champion = server.versions()["1"]
    assert champion["tags"]["version"] == "1.0.0" and champion["tags"]["model_sha256"] == "a" * 64
    run = server.get("runs/get", run_id=champion["run_id"])["run"]
    metrics = {row["key"]: row["value"] for row in run["data"]["metrics"]}
    assert metrics["net Sharpe"] == 1.2 and metrics["failed bars"] == 0.0 and run["info"]["status"] == "FINISHED"
    assert {"snapshot_id", "bars_hash", "code_version"} <= {row["key"] for row in run["data"]["params"]}
    cases = sorted((registry / "cases").glob("*.json"))
    kept = {path.name: path.read_bytes() for path in (folder / "artifacts").rglob("*.json")}
    assert kept == {path.name: path.read_bytes() for path in cases}
    assert not (registry / "artifacts").exists(), "a server keeps artifacts, not the registry"


def _wait(server: Server) -> None:
    last = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < last:
        assert server.process.poll() is None, "the server ended"
        try:
            if requests.get(f"{server.url}/health", timeout=5).text == "OK":
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError("the server does not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the server and its workers, nobody else
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    """Run the campaign and print its figures."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    os.environ.update(QUIET)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = campaign(Path(folder))
        except AssertionError:
            log = Path(folder) / "server.log"
            sys.stderr.write(log.read_text()[-4000:] if log.exists() else "")
            raise
    print(json.dumps(found))


if __name__ == "__main__":
    main()
