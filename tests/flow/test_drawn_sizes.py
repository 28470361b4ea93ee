"""Multipliers that a device draws in shadow: recorded with their propensities, exported, and read by the trainer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from portfolio.policy.sizing import GRID, STATE
from signals.errors import FixInput
from signals.scoring.shadow_logs import drawn_level, read_size_log
from tests.fakes.device import Workbench
from tests.fakes.store import Published
from trainer.backtest.archive import open_archive
from trainer.backtest.sizing import decisions_of


@pytest.mark.slow
def test_a_device_draws_in_shadow_what_trainer_policy_reads(make: Callable[..., Workbench], own_store: Published, tmp_path: Path) -> None:
    """Five sessions, the first without a plan before and so without a whole state: nothing is drawn.

    The orders are those of the whole book. Of four draws two have a value: the first has none before, the last none after.
    """
    like, days = make(own_store, "like"), own_store.sessions(5)
    known = yaml.safe_load((like.state / "config.yml").read_text())
    benches = []
    for draws in (True, False):
        (like.state / "config.yml").write_text(yaml.safe_dump(known | {"draw_sizes": draws}))
        bench = Workbench(tmp_path / f"replayed-{draws}")
        done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1] if draws else days[0]), "--json")
        assert done.code == 0 and not done.json["skipped"], done.err
        benches.append(bench)
    sent = f"SELECT client_order_id, side, quantity FROM intents WHERE session = '{days[0]}' ORDER BY 1"
    assert benches[0].rows(sent) == benches[1].rows(sent) != []

    exported = tmp_path / "sizes.json"
    shown = benches[0]("sizes", "--to", str(exported), "--json").json
    assert [row["session"] for row in shown["rows"]] == list(map(str, days[1:])) and shown["note"] == "drawn in shadow, never traded"
    log = read_size_log(exported.read_bytes(), where="sizes.json")
    for one, before in zip(log.decisions, (1.0, *(other.multiplier for other in log.decisions)), strict=False):
        level, propensity = drawn_level(one.seed, one.asof, len(GRID))
        assert (one.before, one.multiplier, one.propensity) == (before, GRID[level], propensity) == (before, GRID[level], 0.2)
        booked = benches[0].rows(f"SELECT symbol, weight FROM targets WHERE session = '{one.session}' AND weight <> 0")
        assert one.book == dict(booked) and len(one.state) == len(STATE)

    settings = benches[0].state / "config.yml"
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | {"venue": {"url": "http://127.0.0.1:1"}}))
    assert benches[0]("sizes", "--to", str(tmp_path / "later.json")).code == 0
    assert read_size_log((tmp_path / "later.json").read_bytes(), where="later.json").is_rehearsal, "what was drawn in a known past stays so"

    with pytest.MonkeyPatch.context() as later:  # a version whose state has one more number
        later.setattr("appliance.views.draws.STATE", (*STATE, "another"))
        assert benches[0]("sizes", "--to", str(tmp_path / "none.json"), "--json").json["rows"] == []
        assert read_size_log((tmp_path / "none.json").read_bytes(), where="none.json").decisions == (), "none is read as another's"

    archive = open_archive(own_store.root / "data")
    found = decisions_of(exported, archive, 100_000.0)
    valued = log.decisions[1 : 1 + len(found.log.sessions)]
    assert found.is_rehearsal and 2 <= len(valued) < len(log.decisions), "the first draw follows none: it has no value"
    opens = archive.rows.panel(archive.manifest.first, archive.manifest.last)
    for one, reward, row in zip(valued, found.log.rewards[:, 0], found.log.features[:, 0], strict=True):
        assert row.tolist() == [GRID.index(one.before), *one.state]
        at = int(np.searchsorted(opens.sessions, np.datetime64(one.session)))
        moved = sum(w * (opens.open[at + 1, (c := opens.symbols.index(s))] / opens.open[at, c] - 1) for s, w in one.book.items())
        before_costs = np.log1p(one.multiplier * moved)
        assert before_costs - 0.01 < reward <= before_costs + 1e-4, "open to open, less what it cost to get there"

    planted = json.loads(exported.read_text())
    planted["decisions"][0]["multiplier"] = 0.25 if log.decisions[0].multiplier != 0.25 else 0.5
    (tmp_path / "planted.json").write_text(json.dumps(planted))
    with pytest.raises(FixInput, match="did not draw"):
        decisions_of(tmp_path / "planted.json", archive, 100_000.0)
