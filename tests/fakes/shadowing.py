"""A device's record of a shadow, made on the trainer: what one would have scored and written down each evening."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from signals.files import sha256_of
from signals.models.inference import predict
from signals.scoring.shadow_logs import ShadowEvening, ShadowLog
from signals.sleeves import SLEEVES
from trainer.backtest.archive import open_archive

SLEEVE = SLEEVES["equities_xs"]
AFTER_THE_CLOSE = timedelta(hours=2)


def device_log(bundle: Path, data: Path, first: date, last: date) -> ShadowLog:
    """Score the sessions [first, last] with the published bundle as a device scores its shadow."""
    archive, manifest, model = open_archive(data), (bundle / "manifest.json").read_bytes(), bundle / "model.onnx"
    calendar, evenings = archive.manifest.calendar, []
    for asof in calendar.between(first, last):
        symbols, rows = SLEEVE.features(archive.trailing(asof, SLEEVE.lookback_sessions), asof).at(asof)
        scores = dict(zip(symbols, predict([model.read_bytes()], rows).tolist(), strict=True))
        at = calendar.session(asof).close + AFTER_THE_CLOSE
        evenings.append(ShadowEvening(asof=asof, source=sha256_of(manifest), recorded_at=at, scores=scores))
    return ShadowLog(
        venue="alpaca-paper",
        is_rehearsal=False,
        first_session=calendar.next(first),
        last_session=calendar.next(last),
        manifests={sha256_of(manifest): manifest.decode()},
        evenings=tuple(evenings),
        faults={},
    )
