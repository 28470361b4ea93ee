"""SIGKILL real processes at random instants over real HTTP, and prove from the exchange's own books what was sent.

A served exchange with its state on disk, a device driven by `appliance tick` as the timer drives it. While each job of
a session is due, the tick is killed after a random time, again and again, and now and then the exchange itself; then
both are left alone until the job ends. After every session, by the exchange's books and not the device's:

1. no two orders share a client order id, and every order is one that the frozen plan or its follow-ups name;
2. no intent is lost: each one is filled, or ended otherwise for a recorded reason;
3. what the device holds in its ledger is what the exchange holds, share for share and to the cent, or it is HALTED.

Run it with `make chaos`. Bounded: it stops after `--kills` kills or when the dataset's sessions are used up.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import requests

from appliance.schedule.timetable import TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.store import Published, publish_store

KEYS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
ENDED = {"filled", "refused", "denied", "lapsed", "canceled", "expired", "rejected", "replaced"}
ATTEMPTS_PER_JOB = 40


class Broken(Exception):
    """A rule does not hold."""


@dataclass
class Campaign:
    """One exchange, one device, one stream of chance."""

    root: Path
    store: Published
    chance: random.Random
    kills_wanted: int
    seen: Counter[str] = field(default_factory=Counter)
    server: subprocess.Popen[str] | None = None
    url: str = ""
    port: int = 0

    # -- processes ---------------------------------------------------------------------------------------------------

    def serve(self, at: datetime) -> None:
        """Start the exchange, or start it again on the state that a kill left behind."""
        command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(self.store.root / "data")]
        command += ["--state", str(self.root / "exchange"), "--port", str(self.port), "--at", at.isoformat()]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.server.stdout is not None
        self.url = steering.told(self.server.stdout.readline())
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self, how: int) -> None:
        """Send the exchange a signal and wait for its end."""
        assert self.server is not None
        self.server.send_signal(how)
        self.server.wait(timeout=30)

    def appliance(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one `appliance` command on the device's folder."""
        command = [sys.executable, "-m", "appliance", *arguments, "--state", str(self.root / "device")]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str) -> None:
        """Run one `appliance` command to its end; anything but success breaks the campaign."""
        done = self.appliance(*arguments)
        out, err = done.communicate(timeout=120)
        if done.returncode != 0:
            raise Broken(f"appliance {' '.join(arguments)} ended with {done.returncode}: {out[-300:]} {err[-300:]}")

    # -- a session ---------------------------------------------------------------------------------------------------

    def session(self, day: date) -> None:
        """Live through one session, killing as it goes, and judge it."""
        for row in windows(day, self.store.manifest.calendar, TIMETABLE):
            steering.advance(self.url, row.at)
            self.job(day, row.job, row.at)
        self.judge(day)
        self.seen["sessions"] += 1

    def job(self, day: date, job: str, at: datetime) -> None:
        """Kill the tick that runs `job` at random instants, then let it end."""
        for _ in range(self.chance.randint(1, 5)):
            if self.seen["kills"] >= self.kills_wanted:
                break
            self.kill_one(at)
        for _ in range(ATTEMPTS_PER_JOB):
            done = self.appliance("tick", "--json")
            done.communicate(timeout=120)
            if self.ended(day, job):
                return
            time.sleep(0.1)
        raise Broken(f"{job} of {day} never ended")

    def kill_one(self, at: datetime) -> None:
        """Start a tick and kill it, the exchange, or both."""
        tick = self.appliance("tick")
        time.sleep(self.chance.uniform(0.0, 1.6))
        if self.chance.random() < 0.15:
            self.stop(signal.SIGKILL)
            self.seen["exchange kills"] += 1
            if self.chance.random() < 0.5:
                tick.wait(timeout=120)  # it meets a dead exchange
            self.serve(at)
        if tick.poll() is None:
            tick.send_signal(signal.SIGKILL)
            self.seen["kills"] += 1
        else:
            self.seen["ended before the kill"] += 1
        tick.communicate(timeout=30)
        print(f"\r{self.seen['kills']:5d} kills, {self.seen['sessions']} sessions", end="", file=sys.stderr, flush=True)

    # -- judgement ---------------------------------------------------------------------------------------------------

    def ended(self, day: date, job: str) -> bool:
        """Whether the ledger holds the job's one terminal row."""
        rows = self.rows("SELECT status FROM job_runs WHERE session = ? AND job = ?", str(day), job)
        return bool(rows) and rows[0][0] != "running"

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Answer a query on the device's ledger."""
        ledger = apsw.Connection(str(self.root / "device" / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        ledger.set_busy_timeout(10_000)
        found = list(ledger.execute(query, values))
        ledger.close()
        return found

    def get(self, path: str) -> Any:
        """Ask the exchange."""
        answer = requests.get(f"{self.url}{path}", headers=KEYS, timeout=30)
        answer.raise_for_status()
        return answer.json(parse_float=Decimal)

    def judge(self, day: date) -> None:
        """Hold the session to the three rules of this module."""
        orders = self.get(f"/v2/orders?status=all&limit=500&after={day}T00:00:00Z")
        ids = Counter(order["client_order_id"] for order in orders)
        twice = [cid for cid, count in ids.items() if count > 1]
        intents = dict(self.rows("SELECT client_order_id, state FROM intents WHERE session = ?", str(day)))
        posts = dict(self.rows("SELECT client_order_id, posts FROM intents WHERE session = ?", str(day)))
        foreign = sorted(set(ids) - set(intents))
        lost = sorted(cid for cid, state in intents.items() if state not in ENDED)
        unsent = sorted(cid for cid, state in intents.items() if state == "filled" and cid not in ids)
        if twice or foreign or lost or unsent:
            raise Broken(f"{day}: twice {twice}, foreign {foreign}, lost {lost}, filled but unknown {unsent}")
        if self.is_halted():
            raise Broken(f"{day}: halted although nothing but kills happened")
        theirs = {p["symbol"]: Decimal(p["qty"]) for p in self.get("/v2/positions")}
        ours = {
            symbol: Decimal(quantity)
            for symbol, quantity in self.rows("SELECT symbol, quantity FROM positions WHERE session = ? AND phase = 'close'", str(day))
        }
        cash = Decimal(self.get("/v2/account")["cash"])
        (booked,) = self.rows("SELECT cash FROM accounts WHERE session = ? AND phase = 'close'", str(day))
        if theirs != ours or cash != Decimal(booked[0]):
            raise Broken(f"{day}: books differ: {set(theirs.items()) ^ set(ours.items())}, cash {cash} and {booked[0]}")
        self.seen["orders"] += len(orders)
        self.seen["sent twice under one id"] += sum(count > 1 for count in posts.values())

    def is_halted(self) -> bool:
        """Whether the device says that it is halted."""
        done = self.appliance("status", "--json")
        done.communicate(timeout=60)
        return done.returncode == 2


def live(root: Path, seed: int, kills: int, sessions: int) -> Counter[str]:
    """Run a campaign and return what it reached; raises `Broken` with the seed's first broken rule."""
    store = publish_store(root / "store")
    campaign = Campaign(root, store, random.Random(seed), kills)
    days = store.sessions(sessions)
    campaign.serve(windows(days[0], store.manifest.calendar, TIMETABLE)[0].at)
    try:
        campaign.run(
            "init",
            "--venue",
            "exchange",
            "--store",
            str(store.root),
            "--trust",
            str(store.trust),
            "--fixed-ic",
            "0.05",
            "--url",
            campaign.url,
        )
        campaign.run("arm", "--yes")
        for day in days:
            campaign.session(day)
            if campaign.seen["kills"] >= kills:
                break
    finally:
        campaign.stop(signal.SIGTERM)
    return campaign.seen


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=18, help="at most; the store's bundle expires after 18")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        try:
            seen = live(Path(folder), asked.seed, asked.kills, asked.sessions)
        except Broken as broken:
            print(f"\nseed {asked.seed}: {broken}")
            print("0 passed, 1 failed")
            return 1
    print("\n" + "\n".join(f"{name:28s}{count:8d}" for name, count in sorted(seen.items())))
    if seen["kills"] < asked.kills:
        print(f"only {seen['kills']} of {asked.kills} kills happened\n0 passed, 1 failed")
        return 1
    print(f"{seen['sessions']} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
