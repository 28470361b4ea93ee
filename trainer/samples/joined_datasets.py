"""Joins figures of other datasets to the bars that a sleeve reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from signals.files import sha256_of
from signals.market.bars import Bars
from signals.market.dataset import load_bars
from signals.market.manifest import Manifest
from signals.sleeves.bars import MINUTE_BARS
from signals.sleeves.base import Sleeve
from trainer.samples.session_figures import FOLDER as MINUTES
from trainer.samples.session_figures import session_figures

CHAINS, OPTIONS = "option_chains", "options"


def snapshots_of(sleeve: Sleeve, data: Path) -> dict[str, str]:
    """Return which versions of other datasets the sleeve's figures are of, for the evidence: SHA-256 of their manifests by name."""
    folders = {MINUTE_BARS: MINUTES, CHAINS: OPTIONS}
    manifests = {name: data / folder / "manifest.json" for name, folder in folders.items() if sleeve.beside and name in sleeve.inputs}
    return {name: sha256_of(path.read_bytes()) for name, path in manifests.items()}


def with_other_datasets(sleeve: Sleeve, bars: Bars, data: Path, manifest: Manifest) -> Bars:
    """Return the bars with what the sleeve reads beside them; the bars themselves where it reads nothing else.

    What is computed of a whole history, as the forecasts that implied variances are compared with, is computed of the dataset's own
    from its first session on, whatever part of it is asked for: training and scoring see the same numbers.
    """
    if sleeve.beside and MINUTE_BARS in sleeve.inputs:
        return replace(bars, beside=session_figures(sleeve.beside, bars, data))
    if CHAINS not in sleeve.inputs:
        return bars
    from trainer.options.research.observations import observed  # it fits surfaces, which no other sleeve needs

    whole = load_bars(data, manifest, manifest.first, bars.asof)
    rows = np.searchsorted(whole.sessions, bars.sessions)
    columns = np.array([whole.column(symbol) for symbol in bars.symbols])
    return replace(bars, beside={**bars.beside, **{name: panel[np.ix_(rows, columns)] for name, panel in observed(whole, data).items()}})
