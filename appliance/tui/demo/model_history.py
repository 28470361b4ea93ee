"""Generated model monitoring of the demo device: features, expected and realised results, drift."""

import struct
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random

from appliance.bundles.feature_record import FeatureRecord
from appliance.ledger.figures import (
    AttributedSession,
    DecayTest,
    DriftRow,
    DriftTable,
    FeatureFile,
    ModelVerdict,
    MonitoringFigures,
    Observation,
    PromisedFans,
    RealisedFigure,
)
from appliance.tui.demo.simulated_account import CENT, DemoBook
from appliance.tui.demo.state_files import FEATURES, DemoBundle
from signals.files import sha256_of, write_atomic

PROMISED_IC, BOUND = 0.031, 0.35
LINEAGE = "equities_xs champion 4c1d2ae90f37"
WINDOW_SESSIONS = 21
AFTER = (1, 2, 3, 5, 8, 13, 21, 42, 63, 126, 252)
ALARM_AT = 20.0
NAMED = 3
# Centre, spread and lean on the score of each feature, in the order of FEATURES.
SHAPES = (
    (0.002, 0.031, 0.4),
    (0.01, 0.07, 0.5),
    (0.03, 0.12, 0.6),
    (0.06, 0.18, 0.5),
    (0.11, 0.27, 0.7),
    (0.0, 1.1, -0.6),
    (0.27, 0.09, -0.2),
    (1.0, 0.3, 0.1),
    (17.4, 1.2, 0.0),
    (0.5, 0.31, -0.4),
    (0.0004, 0.0011, 0.3),
    (-0.11, 0.08, 0.3),
)


def write_features(folder: Path, asof: date, sleeve: str, book: DemoBook, bundle: DemoBundle, snapshot_id: str) -> FeatureFile:
    """Write what the model read of each name that evening; return what the score job's row says of it."""
    rng = Random(asof.toordinal())
    cells = [
        centre + spread * (lean * name.z + (1 - lean**2) ** 0.5 * rng.gauss(0, 1)) for name in book.names for centre, spread, lean in SHAPES
    ]
    record = FeatureRecord(
        asof,
        sleeve,
        bundle.sha256,
        snapshot_id,
        tuple(name for name, _, _ in FEATURES),
        tuple(name.symbol for name in book.names),
        struct.pack(f"<{len(cells)}f", *cells),
    )
    return keep(folder, record)


def keep(folder: Path, record: FeatureRecord) -> FeatureFile:
    """Write a record; return what the score job's row says of it."""
    content = record.to_bytes()
    write_atomic(folder / record.file_name, content)
    return FeatureFile(record.file_name, sha256_of(content))


@dataclass
class DemoModelHistory:
    """The model's invented life, session by session."""

    rng: Random
    ics: list[float] = field(default_factory=list)
    pending: AttributedSession | None = None
    first: date | None = None

    def report(self, asof: date, session: date, gained: Decimal, traded: Decimal, book: DemoBook) -> MonitoringFigures:
        """Measurements of the report of `session`: the session before it attributed, results so far, drift."""
        ic = self.rng.gauss(PROMISED_IC, 0.09)
        self.ics.append(ic)
        self.first = self.first or asof
        deciles = tuple(round(ic * 0.004 * (place - 4.5), 8) for place in range(10))
        live = Observation(asof, "", LINEAGE, ic, turnover=0.09, net=0.0, promised=PROMISED_IC, bound=BOUND, deciles=deciles)
        done = (self.pending,) if self.pending else ()
        self.pending = self._parts(session, gained, traded, book)
        return MonitoringFigures(done, (live,), expectation=self._life(asof, self.first), drift=self._drift())

    def _parts(self, session: date, gained: Decimal, traded: Decimal, book: DemoBook) -> AttributedSession:
        def share(width: float) -> Decimal:
            return Decimal(repr(float(abs(gained) + 200) * self.rng.gauss(0, width))).quantize(CENT)

        costs = {
            "spread and impact": -(traded * Decimal("0.00023")).quantize(CENT),
            "fees": -(traded * Decimal("0.00002")).quantize(CENT),
            "slippage": share(0.001),
        }
        parts = {
            "market": share(0.2),
            "sector": share(0.15),
            "style": share(0.2),
            "selection": Decimal(0),
            "costs": sum(costs.values(), start=Decimal(0)),
            "rounding": share(0.01),
            "refused orders": Decimal("0.00"),
            "skips": Decimal("0.00"),
        }
        parts["selection"] = gained - sum(parts.values(), start=Decimal(0))
        held = sorted((name for name in book.names if name.quantity), key=lambda name: name.symbol)
        chosen = self.rng.sample(held, min(2 * NAMED, len(held)))
        amounts = sorted((abs(share(0.3)) for _ in chosen), reverse=True)
        named = [(name.symbol, amount) for name, amount in zip(chosen, amounts[::2] + amounts[1::2], strict=True)]
        best, worst = tuple(named[:NAMED]), tuple((symbol, -amount) for symbol, amount in named[NAMED:])
        universe = round(Random(session.toordinal()).gauss(0.0004, 0.004), 6)
        return AttributedSession(session, gained, traded, "GREEN", parts, costs, best, worst, universe=universe)

    def _life(self, asof: date, since: date) -> ModelVerdict:
        count = len(self.ics)
        half = 1.6449 * 0.09 / count**0.5
        figures = (
            _figure("ic", count, sum(self.ics) / count, PROMISED_IC, half),
            _figure("turnover", count, 0.091, 0.094, 0.03 / count**0.5),
            _figure("cost", count, 2.5, 2.6, 2.0 / count**0.5),
            _figure("drawdown", count, 0.0009 * count**0.5, 0.0016 * count**0.5, 0.0013 * count**0.5),
        )
        says = "nothing speaks against the model you promoted"
        test = DecayTest(count, 0.41, 1.62, ALARM_AT, p_value=0.62, promised=PROMISED_IC, says=says)
        fans = PromisedFans(
            AFTER, ic=tuple(_band(PROMISED_IC, 0.148 / n**0.5) for n in AFTER), cost=tuple(_band(2.6, 1.5 / n**0.5) for n in AFTER)
        )
        return ModelVerdict(LINEAGE, since, asof, figures, fans, test)

    def _drift(self) -> DriftTable:
        rows = []
        for name in ("score", *(name for name, _, _ in FEATURES)):
            limit = 0.11
            used = min(0.96, abs(self.rng.gauss(0.35, 0.2)))
            rows.append(DriftRow(name, round(used * limit, 4), limit, round(used, 3), "within"))
        rows.sort(key=lambda row: -(row.used or 0.0))
        return DriftTable(WINDOW_SESSIONS, tuple(rows))


def _band(middle: float, half: float) -> tuple[float, ...]:
    return (middle - half, middle, middle + half)


def _figure(name: str, sessions: int, live: float, middle: float, half: float) -> RealisedFigure:
    low, high = middle - half, middle + half
    word = "BELOW" if live < low else "ABOVE" if live > high else "INSIDE"
    return RealisedFigure(name, sessions, live, low, middle, high, word)
