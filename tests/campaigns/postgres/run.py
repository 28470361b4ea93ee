"""A search whose sampler remembers in a real PostgreSQL: `make postgres-search`.

The server is this machine's own (Debian's package `postgresql`), in a folder of its own for as long as the campaign
runs; the driver is pinned under `var/postgres-driver`. Stopped and gone on with, a search has to write the bytes of one
that was never stopped and remembered in SQLite; killed, it has to go on; without its server it has to fail in one line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from trainer.search import trial_log

ROOT = Path(__file__).resolve().parents[3]
DRIVER = ROOT / "var" / "postgres-driver"
OWNER = "postgres"  # who runs the server where this is root, which it refuses
PASSWORD = "not-to-be-told"
RECIPE: dict[str, Any] = {
    "lightgbm": {"trees": 20, "num_leaves": 7, "min_data_in_leaf": 50, "learning_rate": 0.1},
    "cpcv": {"groups": 4, "test_groups": 2, "embargo_sessions": 5, "holdout_sessions": 0},
    "search": {"startup_trials": 2, "lightgbm": {"num_leaves": [3, 7, 15]}},
}
STARTED, ENDED = b'"kind":"started"', b'"kind":"ended"'


def trainer(*words: str, exits: int = 0) -> str:
    """Run a command of the trainer with the driver at hand; return what it said."""
    done = subprocess.run(_command(*words), cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == exits, (words, done.returncode, done.stderr[-2000:])
    return done.stdout + done.stderr


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve an empty cluster below `folder`; gives the URL of its database."""
    port = _free_port()
    secret = folder / "password"
    secret.write_text(PASSWORD)
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, OWNER)
        shutil.chown(secret, OWNER)
    place = str(folder / "cluster")
    _server("initdb", "-D", place, "-U", "trials", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    _server("pg_ctl", "-D", place, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://trials:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        _server("pg_ctl", "-D", place, "-m", "immediate", "-w", "stop")


def campaign(folder: Path, server: Path) -> dict[str, Any]:
    """Search, stop, go on, kill, go on, lose the server; return the figures.

    Each search has a copy of the dataset in a folder of its own: trials are recorded beside the data.
    """
    began = time.monotonic()
    made, recipe = folder / "made", folder / "recipe.yml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    trainer("generate", "--seed", "3", "--symbols", "30", "--sessions", "420", "--to", str(made))
    delivery = ["--bars", str(made / "bars.parquet"), "--actions", str(made / "actions.parquet"), "--basis", "raw"]
    for name in ("sqlite", "postgres", "killed"):
        trainer("ingest", *delivery, "--to", str(folder / name / "data"))

    def search(to: str, trials: int, *more: str) -> list[str]:
        data = str(folder / to / "data")
        words = ["search", "--sleeve", "equities_xs", "--data", data, "--config", str(recipe), "--json"]
        return [*words, "--to", str(folder / to), "--trials", str(trials), "--workers", "1", *more]

    trainer(*search("sqlite", 4))
    with served(server) as url:
        trainer(*search("postgres", 2, "--storage", url))
        trainer(*search("postgres", 4, "--storage", url))
        whole = _searched(folder / "postgres" / "data")
        assert whole == _searched(folder / "sqlite" / "data"), "another memory, other trials"
        assert not list((folder / "postgres").glob("*.db")), "the sampler remembered somewhere else"
        _kill_at(folder / "killed" / "data" / "trials.jsonl", search("killed", 5, "--storage", url, "--seed", "2"))
        trainer(*search("killed", 5, "--storage", url, "--seed", "2"))
    recorded = _searched(folder / "killed" / "data")
    states = Counter(json.loads(line)["state"] for line in recorded if ENDED in line)
    states["interrupted"] = sum(STARTED in line for line in recorded) - states.total()
    said = trainer(*search("postgres", 5, "--storage", url), exits=2)
    assert "storage cannot be opened" in said and PASSWORD not in said
    assert _searched(folder / "postgres" / "data") == whole
    assert states == {"completed": 4, "interrupted": 1}, "a trial whose process died counts as what it is"
    return {"states_after_a_kill": dict(states), "seconds": round(time.monotonic() - began, 1)}


def _searched(data: Path) -> list[bytes]:
    """The records of the search, without what proved its best recipe after each command, and without the chain."""
    searches = {name for name, one in trial_log.read(data).studies.items() if "command" not in one.identity}
    records = [json.loads(line) for line in (data / "trials.jsonl").read_bytes().splitlines()]
    bare = [{k: v for k, v in record.items() if k != "previous"} for record in records if record["study"] in searches]
    return [json.dumps(record, sort_keys=True, separators=(",", ":")).encode() for record in bare]


def _kill_at(records: Path, words: list[str]) -> None:
    """Start a search and kill it inside its second trial."""
    with subprocess.Popen(
        _command(*words), cwd=ROOT, env=_environment(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not _is_inside(records):
            time.sleep(0.005)
        assert process.poll() is None, "the search ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)


def _is_inside(records: Path) -> bool:
    content = records.read_bytes() if records.exists() else b""
    return content.count(STARTED) == 2 and content.count(ENDED) == 1


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "trainer", *words]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(DRIVER)}


def _server(program: str, *words: str) -> None:
    """Run a program of PostgreSQL, as its own user where this is root."""
    found = shutil.which(program) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))), "")
    assert found, f"{program} is missing: install the package postgresql"
    command = [found, *words]
    if os.geteuid() == 0:
        command = ["runuser", "-u", OWNER, "--", *command]
    done = subprocess.run(command, cwd="/", capture_output=program != "pg_ctl", text=True, check=False)
    assert done.returncode == 0, (program, done.stderr)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    """Run the campaign and print its figures."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as server:
        print(json.dumps(campaign(Path(folder), Path(server))))


if __name__ == "__main__":
    main()
