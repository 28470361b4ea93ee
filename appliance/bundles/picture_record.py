"""The record of what the net of pictures saw of an evening: kept as the features of an evening are, one file named by the score job.

Every name that has a picture has its probabilities, pole, embedding, and what past events like it made; a name with an event also
has its picture.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from appliance.bundles.feature_record import FeatureRecord, read_features
from appliance.ledger import Ledger, job_runs
from appliance.ledger.figures import ScoreFigures
from appliance.system.state_folder import StateFolder
from signals.bundle import Bundle
from signals.errors import ScoresInvalid
from signals.events.analogs import HEADS, SeenShape, classes_in, shape_of
from signals.market.bars import Floats
from signals.models.heads import ClassesHead
from signals.scoring.scoring import HeadOutputs

KEPT_AS, CLASS, LOG_POLE, SIM_CONF, HIST_RR = "patterns", "p_", "log_pole", "sim_conf", "hist_rr_pct"


def require_heads(bundle: Bundle) -> ClassesHead:
    """Return the head of the classes; raise `ScoresInvalid` where a bundle's heads are not those that are read of a picture."""
    heads = {line.name: line.head for line in bundle.manifest.heads}
    if (classes := classes_in(heads)) is None:
        raise ScoresInvalid(f"a net of pictures has the heads {', '.join(HEADS)}, not {', '.join(heads)}", fix="Publish another bundle")
    return classes


def record_of(bundle: Bundle, found: HeadOutputs, analogs: Floats, pictures: Mapping[str, str], snapshot_id: str) -> FeatureRecord:
    """Return the record; `analogs` are float64 (n, 2), `pictures` PNG in base64 by symbol."""
    first, pole, embedding = HEADS
    classes = require_heads(bundle).names
    vectors = found.raw[embedding]
    names = (*(CLASS + name for name in classes), LOG_POLE, SIM_CONF, HIST_RR, *(f"v{i}" for i in range(1, vectors.shape[1] + 1)))
    values = np.column_stack([found.probabilities[first], found.raw[pole], analogs, vectors]).astype("<f4").tobytes()
    return FeatureRecord(found.asof, KEPT_AS, bundle.sha256, snapshot_id, names, found.symbols, values, pictures)


def recorded_of(ledger: Ledger, folder: StateFolder, asof: date) -> FeatureRecord | None:
    """Return the record of an evening; None where no net saw it.

    Raises
    ------
    FixInput
        It is no longer kept, or not what was recorded.
    """
    runs = (run for run in job_runs.since(ledger, asof) if run.job == "score")
    figures = next((known for run in runs if (known := run.read(ScoreFigures)).asof == asof), ScoreFigures())
    return read_features(folder.features, figures.patterns) if figures.patterns else None


def seen(record: FeatureRecord, symbol: str) -> tuple[SeenShape, float | None, float | None] | None:
    """Return the shape that was seen, `sim_conf` and `hist_rr_pct` of a name; None of one without a picture."""
    said = {one.name: one.value for one in record.of(symbol)}
    if not said:
        return None
    classes: Sequence[str] = [name for name in record.names if name.startswith(CLASS)]
    shape = shape_of([name.removeprefix(CLASS) for name in classes], [said[name] or 0.0 for name in classes], said[LOG_POLE] or 0.0)
    return shape, said[SIM_CONF], said[HIST_RR]
