"""Power cuts: what the broker has seen was on disk before, whatever the disk forgets."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import Ledger, intents
from appliance.ledger.intents import IntentState
from execution.brokers.base import Submission
from execution.orders import Intent
from tests.fakes.broker import Crash, deps_of
from tests.fakes.power import ForgetfulDisk
from tests.fakes.rehearsal import CALENDAR, D, Rehearsal, at, broken_rules, calm

SEEDS = range(24)


def cut_at_a_post(root: Path, seed: int, spoil: Callable[[Ledger], None]) -> tuple[Rehearsal, int, int]:
    """Cut the power while a seeded post is on its way, before or after the broker takes it.

    Returns the device, the number of lost writes, and how many posted orders the journal on disk does not know of.
    """
    rng = random.Random(seed)
    life = calm(root)
    life.to("09:10")
    disk = ForgetfulDisk(f"forgetful-{seed}-{spoil.__name__}")
    fatal, takes = rng.randrange(4), rng.random() < 0.5
    real = life.broker.submit

    def submit(intent: Intent) -> Submission:
        if len(life.broker.posts) == fatal:
            disk.is_dead = True
            if takes:
                real(intent)
            else:
                life.broker.posts.append((life.clock.now(), intent))
            raise Crash
        return real(intent)

    life.broker.submit = submit  # type: ignore[method-assign]
    ledger = Ledger(root / "ledger.sqlite", vfs=disk.name)
    spoil(ledger)
    deps = deps_of(root, life.broker, life.clock, CALENDAR, life.fs, ledger, life.inbox)
    with pytest.raises(Crash):
        trade(D, deps)
    with suppress(apsw.Error):  # closing tells that the last checkpoint failed: the power is off
        ledger.close()
    lost = disk.lose_power(rng)
    disk.unregister()
    life.broker.submit = real  # type: ignore[method-assign]
    deps = life.open()
    posted = [intent.key.client_order_id for _, intent in life.broker.posts]
    unknown = sum(intents.require(deps.ledger, cid).state in (IntentState.PLANNED, IntentState.JOURNALED) for cid in posted)
    deps.close()
    return life, lost, unknown


def as_it_is(ledger: Ledger) -> None:
    """The ledger as the device opens it."""


def without_sync(ledger: Ledger) -> None:
    """The planted bug: commits that are not on disk."""
    ledger._connection.execute("PRAGMA synchronous=OFF")


def test_after_a_power_cut_at_a_post_the_journal_knows_the_order_and_the_session_ends_well() -> None:
    """B2, F41: unsynced pages dropped, reordered and torn."""
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            life, _, unknown = cut_at_a_post(Path(folder), seed, as_it_is)
            assert unknown == 0, seed
            life.clock.sleep(30)
            life.run(trade, [], at("09:26"))
            life.to("09:30")
            life.broker.auction(lambda order: 1)  # type: ignore[arg-type, return-value]
            life.to("09:45")
            life.run(confirm, [], at("15:45"))
            life.to("16:20")
            life.run(reconcile, [], at("23:00"))
            assert broken_rules(life) == [], seed
            assert life.latch.read().is_armed


def test_without_syncs_the_same_cut_loses_the_journal_so_the_disk_really_forgets() -> None:
    unknown = lost = 0
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                _, writes, missing = cut_at_a_post(Path(folder), seed, without_sync)
            except Exception:  # noqa: BLE001 - a torn database that cannot be opened is a loss as well
                unknown += 1
                continue
            unknown, lost = unknown + missing, lost + writes
    assert unknown > 0
    assert lost > 0
