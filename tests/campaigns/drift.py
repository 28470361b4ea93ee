"""Every drift rule that stops, on honest history and on planted corruptions, side by side in one table.

Honest: each year of real bars (2008 to 2014 and 2014 to 2021, curated as they are delivered; March 2020 and the other
storms included), judged evening by evening as a device does, by limits that were calibrated on the five years before,
with scores out of fold there and of a model of those years here. The first year of a file has no past and is judged by
the four years after it. Real bars end in 2021: 2022 and 2023 are a generated market. Three skips in a row halt the
device, a person starts it again at once, and it has no accepted evening then.

Planted: each kind of `tests/fakes/corruptions.py` from one session on, at many sessions of the same years, the storms'
among them; caught is what stops one of the first three evenings.

Recomputed: a file of deliveries, whose bars of a session come again, corrected, the evening after.

Run it with `make drift-rehearsal`: four parts, each kept below `var/drift-rehearsal`, so that a second run goes on.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from signals.features.panel import FeaturePanel
from signals.files import sha256_of, write_atomic
from signals.market.bars import Bars
from signals.market.dataset import load_bars
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import SessionStatus
from signals.monitoring import continuity
from signals.monitoring.continuity import LAGS, SCORE, ContinuityLimits, CrossSection
from signals.monitoring.drift import WINDOW_SESSIONS, DriftReference, reference, trailing_score_psi
from signals.sleeves import SLEEVES
from tests.fakes import corruptions
from tests.fakes.corruptions import CORRUPTIONS, Corruption
from trainer.curation.config import CurationConfig
from trainer.curation.generated.market import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping
from trainer.labels.horizon import horizon_labels
from trainer.learners.base import Model
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig
from trainer.runs.artefacts import unseen_history
from trainer.samples.samples import Samples, samples
from trainer.validation.splits.cpcv import group_bounds

DATA, KEPT = Path("../shared/data"), Path("var/drift-rehearsal")
SLEEVE = SLEEVES["equities_xs"]
YEAR, PAST_YEARS, NEXT_YEARS, GROUPS = 252, 5, 4, 5
LEARNED_EACH, PURGED = 5, 10  # sessions: labels of five overlap
START_EACH, SESSIONS_TO_CATCH = 40, 3
AFTER_RED, MARKET_SESSIONS = 5, 60
STORMS = tuple(
    date.fromisoformat(day)
    for day in (
        "2008-09-29",
        "2008-10-10",
        "2010-05-07",
        "2011-08-08",
        "2015-08-24",
        "2016-06-24",
        "2018-02-05",
        "2020-03-09",
        "2020-03-12",
        "2020-03-16",
    )
)
MOST_SKIPS, MOST_HALTS, LEAST_CAUGHT, LEAST_SHARE = 0.5, 0.1, 9, 0.95
RULES = ("DRIFT_STEP", "DRIFT_RELATIONS", "DRIFT_RECOMPUTED")
SCORE_PSI = "DRIFT_PSI"
FEATURES = tuple(name for name in SLEEVE.names if not name.startswith(("rank_", "day_of_week")))
DAILY = ("open", "high", "low", "close", "volume", "total_return", "overnight_return")


@dataclass(frozen=True)
class History:
    """A file of bars with its RED sessions, and the years of it that are judged."""

    name: str
    years: tuple[int, ...]
    read: Callable[[], tuple[Bars, frozenset[date]]]


def curated(file: str, basis: PriceBasis) -> Callable[[], tuple[Bars, frozenset[date]]]:
    def read() -> tuple[Bars, frozenset[date]]:
        folder = KEPT / file
        manifest = ingest(
            DeliveryFiles(DATA / f"{file}.parquet"), folder, DeliveryTerms(mapping=Mapping(), basis=basis, config=CurationConfig())
        )
        return with_red(folder, manifest)

    return read


def generated() -> tuple[Bars, frozenset[date]]:
    folder = KEPT / "generated"
    bars, actions = generate(31, 120, 1_650, date(2023, 12, 29)).write(folder / "vendor")
    manifest = ingest(
        DeliveryFiles(bars, actions), folder / "curated", DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig())
    )
    return with_red(folder / "curated", manifest)


def with_red(folder: Path, manifest: Manifest) -> tuple[Bars, frozenset[date]]:
    red = frozenset(audit.session for audit in manifest.audits if audit.status is SessionStatus.RED)
    return load_bars(folder, manifest, manifest.first, manifest.last), red


HISTORIES = (
    History("2008-2014", tuple(range(2008, 2015)), curated("us_daily_2007_2014_cc0_open", PriceBasis.TOTAL_RETURN)),
    History("2015-2021", tuple(range(2015, 2022)), curated("us_daily_2013_2023_yf_open", PriceBasis.SPLIT_ADJUSTED)),
    History("2022-2023, generated", (2022, 2023), generated),
)


@dataclass(frozen=True, eq=False)
class World:
    """One year under the limits and the model of other years."""

    year: int
    bars: Bars
    panel: FeaturePanel
    rows: range
    reference: DriftReference
    model: Model
    red: frozenset[int] = frozenset()
    known: dict[int, CrossSection] = field(default_factory=dict)

    @cached_property
    def table(self) -> ContinuityLimits:
        assert self.reference.continuity is not None
        return self.reference.continuity

    @cached_property
    def hurt(self) -> frozenset[int]:
        """The sessions just after a RED one, whose short windows lack its bars: a stop there is for a fault."""
        return frozenset(row + after for row in self.red for after in range(AFTER_RED + 1))

    @cached_property
    def columns(self) -> list[int]:
        return [self.panel.names.index(name) for name in self.table.columns if name != SCORE]

    def evening(self, row: int, values: np.ndarray, sign: float = 1.0) -> CrossSection:
        """What was read and said at a session, of the eligible names."""
        chosen = np.flatnonzero(self.panel.eligible[row])
        read = values[chosen]
        scores = sign * self.model.predict(np.ascontiguousarray(read)).astype(np.float32)
        names = tuple(self.table.columns)
        return CrossSection(tuple(self.panel.symbols[c] for c in chosen), names, np.column_stack([read[:, self.columns], scores]))

    def honest(self, row: int) -> CrossSection:
        if row not in self.known:
            self.known[row] = self.evening(row, self.panel.values[row])
        return self.known[row]

    def judge(self, before: tuple[int, CrossSection] | None, row: int, now: CrossSection, again: CrossSection) -> dict[str, float]:
        """The rules' ratios; `again` is the accepted evening as it is computed anew."""
        ratios = {"DRIFT_RELATIONS": continuity.relations(self.table, now).ratio}
        if before is not None and row - before[0] in LAGS:
            ratios["DRIFT_STEP"] = continuity.step(self.table, before[1], now, row - before[0]).ratio
            ratios["DRIFT_RECOMPUTED"] = continuity.recomputed(before[1], again).ratio
        return ratios


def anew(features: CrossSection, record: CrossSection, sign: float) -> CrossSection:
    """A recorded evening as a device computes it anew: the features, and scores of the recorded ones."""
    return CrossSection(features.symbols, features.columns, np.column_stack([features.values[:, :-1], sign * record.values[:, -1]]))


def worlds(history: History) -> Iterator[World]:
    """Every judged year of a history, with what the years before it say."""
    bars, red = history.read()
    panel = SLEEVE.panel(bars)
    rows = samples(panel, horizon_labels(bars, SLEEVE.horizon_sessions))
    years = panel.sessions.astype("datetime64[Y]").astype(np.int64) + 1970
    scored = panel.eligible.sum(axis=1) >= continuity.MIN_NAMES
    scored[: np.argmax(scored) + MARKET_SESSIONS] = False  # the market's own return is known of eligible names alone
    holes = frozenset(int(np.searchsorted(panel.sessions, np.datetime64(day, "D"))) for day in red)
    for year in history.years:
        learned = scored & (years < year) & (years >= year - PAST_YEARS)
        if learned.sum() < YEAR:
            learned = scored & (years > year) & (years <= year + NEXT_YEARS)
        judged = np.flatnonzero(scored & (years == year))
        if judged.size:
            model, made = calibrate(panel, rows.where(learned[rows.t0]))
            yield World(year, bars, panel, range(int(judged[0]), int(judged[-1]) + 1), made, model, holes)


def calibrate(panel: FeaturePanel, rows: Samples) -> tuple[Model, dict[str, Any]]:
    """The model of these rows, and the reference by models that never saw the session, one a group."""
    learner = LightGbm(LightGbmConfig(), 1)
    sessions = np.unique(rows.t0)
    scores = np.full(len(rows), np.nan)
    kept = np.isin(rows.t0, sessions[::LEARNED_EACH])
    for first, last in group_bounds(len(sessions), GROUPS):
        inside = (rows.t0 >= sessions[first]) & (rows.t0 <= sessions[last])
        near = (rows.t0 >= sessions[first] - PURGED) & (rows.t0 <= sessions[last] + PURGED)
        scores[inside] = fitted(learner, rows.where(kept & ~near)).predict(rows.features[inside])
    return fitted(learner, rows.where(kept)), reference(*unseen_history(panel, rows, rows, scores, GROUPS))


def fitted(learner: LightGbm, rows: Samples) -> Model:
    return learner.fit(rows.features, rows.target, rows.weight, rows.names, rows.t0)


@dataclass
class Lived:
    """What the honest evenings of one history came to: sessions, and by rule the skips and halts."""

    sessions: int = 0
    skips: Counter[str] = field(default_factory=Counter)
    halts: Counter[str] = field(default_factory=Counter)
    after_red: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)


def live(world: World, rule: str, lived: Lived) -> None:
    """Judge every honest evening of a year by one rule, or by `all` of them, as a device does."""
    accepted: tuple[int, CrossSection] | None = None
    in_a_row, said = 0, []
    for row in world.rows:
        if row in world.red:
            continue  # DATA_NOT_USABLE: nothing is scored
        now = world.honest(row)
        ratios = (
            psi_of(world, said, now) if rule == SCORE_PSI else world.judge(accepted, row, now, *((accepted[1],) if accepted else (now,)))
        )
        said.append(now.values[:, -1].astype(np.float64))
        past = {name: ratio for name, ratio in ratios.items() if not ratio <= 1.0 and rule in (name, "all")}
        if not past:
            accepted, in_a_row = (row, now), 0
            continue
        in_a_row += 1
        (lived.after_red if row in world.hurt else lived.skips)[rule] += 1
        lived.told.append(f"{rule} {world.panel.sessions[row]} {world.table and named(world, accepted, row, now)}")
        if in_a_row == 3:
            lived.halts[rule] += row not in world.hurt
            accepted, in_a_row = None, 0


def named(world: World, accepted: tuple[int, CrossSection] | None, row: int, now: CrossSection) -> str:
    found = continuity.relations(world.table, now)
    if accepted is not None and row - accepted[0] in LAGS:
        found = max(found, continuity.step(world.table, accepted[1], now, row - accepted[0]), key=lambda one: one.ratio)
    return f"{found.name} {found.ratio:.2f}"


def psi_of(world: World, said: list[np.ndarray], now: CrossSection) -> dict[str, float]:
    window = [*said[-(WINDOW_SESSIONS - 1) :], now.values[:, -1].astype(np.float64)]
    return {SCORE_PSI: trailing_score_psi(world.reference, window).ratio}


def plant(world: World, kind: Corruption, begun: int) -> dict[str, bool]:
    """Plant one corruption at one session; which rules stop one of its first three evenings."""
    seed = begun * len(CORRUPTIONS) + CORRUPTIONS.index(kind)
    bars = kind.bars(world.bars, begun, np.random.default_rng(seed)) if kind.bars else None
    sign = -1.0 if kind.turns_scores else 1.0

    @cache
    def read(row: int) -> CrossSection:
        if bars is not None:
            day = world.panel.sessions[row].astype(object)
            newest = SLEEVE.features(bars, day)
            return world.evening(row, newest.values[0])
        return world.evening(row, kind.read(world.panel, begun, row, np.random.default_rng(seed)), sign)

    stopped = dict.fromkeys((*RULES, "all"), False)
    for rule in stopped:
        accepted = (begun - 1, world.honest(begun - 1))
        for row in range(begun, begun + SESSIONS_TO_CATCH):
            now = read(row)
            turned = sign if accepted[0] < begun else 1.0
            again = anew(read(accepted[0]), accepted[1], turned) if kind.is_in_program else accepted[1]
            past = {name for name, ratio in world.judge(accepted, row, now, again).items() if not ratio <= 1.0}
            if past & ({rule} if rule != "all" else set(RULES)):
                stopped[rule] = True
                break
            accepted = (row, now)
    return stopped


def rehearse(history: History) -> dict[str, Any]:
    """One history: honest years by every rule, and every corruption at many sessions."""
    lived, planted = Lived(), {kind.name: Counter[str]() for kind in CORRUPTIONS}
    for world in worlds(history):
        began = time.process_time()
        lived.sessions += len(world.rows)
        for rule in ("all", *RULES, SCORE_PSI):
            live(world, rule, lived)
        days = world.panel.sessions
        open_rows = world.rows[5:-SESSIONS_TO_CATCH]
        storms = {row for row in open_rows if days[row].astype(object) in STORMS}
        starts = {*open_rows[::START_EACH], *storms}
        starts = {row for row in starts if not world.hurt & set(range(row - 1, row + SESSIONS_TO_CATCH))}
        for kind in CORRUPTIONS:
            if kind.name == "volume x 10" and not world.bars.has_dollars:
                continue
            for begun in sorted(starts):
                planted[kind.name]["planted"] += 1
                planted[kind.name].update(rule for rule, stops in plant(world, kind, begun).items() if stops)
        print(
            f"{world.year}: {len(world.rows)} sessions, {len(starts)} starts, skips so far {dict(lived.skips)},"
            f" {time.process_time() - began:.0f} s",
            flush=True,
        )
    return {
        "sessions": lived.sessions,
        "skips": lived.skips,
        "halts": lived.halts,
        "after_red": lived.after_red,
        "told": lived.told,
        "planted": planted,
    }


def delivered() -> dict[str, Any]:
    """Evenings of a file whose bars come again the day after: what was read then against what is computed anew."""
    first, last = deliveries()
    panel = SLEEVE.panel(last)
    names = [panel.names.index(name) for name in FEATURES]
    worst: list[tuple[float, str]] = []
    for row in range(YEAR // 4, len(last.sessions) - 1):
        evening = replace(last, **{name: spliced(getattr(last, name), getattr(first, name), row) for name in DAILY})
        chosen = np.flatnonzero(panel.eligible[row])
        symbols = tuple(panel.symbols[c] for c in chosen)
        cells = np.ix_(chosen, names)
        read = SLEEVE.features(evening, last.sessions[row].astype(object)).values[0]
        again = CrossSection(symbols, FEATURES, panel.values[row][cells])
        found = continuity.recomputed(CrossSection(symbols, FEATURES, read[cells]), again)
        worst.append((found.ratio, f"{last.sessions[row]} {found.name}"))
    worst.sort(reverse=True)
    return {
        "sessions": len(worst),
        "skips": sum(not ratio <= 1.0 for ratio, _ in worst),
        "changed": sum(ratio > 0 for ratio, _ in worst),
        "worst": worst[:5],
    }


def deliveries() -> tuple[Bars, Bars]:
    """The panel of what came first of each session, and of what came last."""
    table = pq.read_table(DATA / "us_daily_deliveries_pit_open.parquet").to_pandas()
    table = table[table["close"] > 0].sort_values(["symbol", "date", "delivered"])
    days, symbols = np.unique(table["date"].astype("datetime64[s]")), np.unique(table["symbol"])
    panels = []
    for which in ("first", "last"):
        rows = table.drop_duplicates(["symbol", "date"], keep=which)
        panels.append(bars_of(rows, days.astype("datetime64[D]"), symbols))
    return panels[0], panels[1]


def bars_of(rows: Any, days: np.ndarray, symbols: np.ndarray) -> Bars:
    place = (np.searchsorted(days, rows["date"].to_numpy().astype("datetime64[D]")), np.searchsorted(symbols, rows["symbol"].to_numpy()))
    dense = {}
    for name in ("open", "high", "low", "close", "volume"):
        dense[name] = np.full((len(days), len(symbols)), np.nan)
        dense[name][place] = rows[name].to_numpy(dtype=np.float64)
    before = np.vstack([np.full((1, len(symbols)), np.nan), dense["close"][:-1]])
    returns = {"total_return": dense["close"] / before - 1.0, "overnight_return": dense["open"] / before - 1.0}
    return Bars(days, tuple(map(str, symbols)), **dense, **returns, eligible=~np.isnan(dense["close"]))


def spliced(last: np.ndarray, first: np.ndarray, row: int) -> np.ndarray:
    """The corrected past up to `row`, and the session itself as it came first."""
    values = last[: row + 1].copy()
    values[row] = first[row]
    return np.vstack([values, last[row + 1 :]])


def table(parts: dict[str, dict[str, Any]]) -> tuple[list[str], bool]:
    """Both sides of each rule: what it costs on honest history, and the share of each corruption that it stops."""
    histories = [parts[history.name] for history in HISTORIES]
    years = sum(part["sessions"] for part in histories) / YEAR
    planted = {kind.name: sum((Counter(part["planted"][kind.name]) for part in histories), Counter()) for kind in CORRUPTIONS}
    lines = [f"{number}: {name} ({counts['planted']} times)" for number, (name, counts) in enumerate(planted.items(), 1)]
    numbers = " | ".join(str(n + 1) for n in range(len(planted)))
    lines += ["", f"| rule | skips a year | halts a year | {numbers} |", "|---|---|---|" + "---|" * len(planted)]
    for rule in (*RULES, "all", SCORE_PSI):
        skips, halts = (sum(part[what].get(rule, 0) for part in histories) / years for what in ("skips", "halts"))
        shares = [counts[rule] / counts["planted"] for counts in planted.values()]
        shown = ["-"] * len(shares) if rule == SCORE_PSI else [f"{share:.0%}" for share in shares]
        lines.append(f"| {rule} | {skips:.2f} | {halts:.2f} | " + " | ".join(shown) + " |")
        if rule == "all":
            caught = sum(share >= LEAST_SHARE for share in shares)
            is_good = skips <= MOST_SKIPS and halts <= MOST_HALTS and caught >= LEAST_CAUGHT
    after_red = sum(part["after_red"].get("all", 0) for part in histories)
    found = parts["deliveries"]
    lines += [
        "",
        f"{years:.1f} years, beside {after_red} sessions stopped in the {AFTER_RED} after a RED one, whose bars are missing;"
        f" {caught} of {len(planted)} kinds stopped within {SESSIONS_TO_CATCH} sessions at"
        f" {LEAST_SHARE:.0%} of the places or more",
        f"corrected deliveries: {found['skips']} of {found['sessions']} evenings would be skipped,"
        f" {found['changed']} were corrected; nearest to the limit {found['worst'][0]}",
    ]
    lines += [f"honest session stopped: {told}" for part in histories for told in part["told"] if "PSI" not in told]
    return lines, is_good and found["skips"] / max(1, found["sessions"]) * YEAR <= MOST_SKIPS


def main() -> int:
    """Run every part that is not kept yet, print the table and return the exit status."""
    if not DATA.is_dir():
        print(f"no real bars in {DATA}: nothing was measured")
        return 1
    KEPT.mkdir(parents=True, exist_ok=True)
    parts: dict[str, dict[str, Any]] = {}
    judged_by = (Path(continuity.__file__), Path(corruptions.__file__), Path(__file__))
    version = sha256_of(b"".join(path.read_bytes() for path in judged_by))[:8]  # what other rules found is not kept
    for name, run in {**{h.name: partial(rehearse, h) for h in HISTORIES}, "deliveries": delivered}.items():
        kept = KEPT / f"{name.replace(', ', '-')}-{version}.json"
        if not kept.exists():
            write_atomic(kept, json.dumps(run()).encode())
        parts[name] = json.loads(kept.read_bytes())
    lines, is_good = table(parts)
    print("\n".join(lines))
    return int(not is_good)


if __name__ == "__main__":
    sys.exit(main())
