"""Joins figures of other datasets to the bars that a sleeve reads. `INPUTS` is the register.

An input is named by the sleeves that read it (`Sleeve.inputs`) and lies in the folder of the daily bars; installed packages add
inputs in the group `trademl.inputs`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from signals.errors import BadDataset, FixInput
from signals.files import sha256_of
from signals.market.bars import Bars, Floats
from signals.market.dataset import load_bars
from signals.market.manifest import Manifest
from signals.plugins import PluginTable
from signals.sleeves.bars import MINUTE_BARS
from signals.sleeves.base import Sleeve
from signals.sleeves.events import DAILY_EVENTS
from signals.sleeves.foundation import FORECASTS
from signals.text.wording import reason_of
from trainer.samples.session_figures import FOLDER as MINUTES
from trainer.samples.session_figures import session_figures

DAILY, CHAINS, OPTIONS = "daily_bars", "option_chains", "options"


@dataclass(frozen=True)
class OtherDataset:
    """A dataset beside the daily bars.

    Attributes
    ----------
    name : str
        As sleeves name it.
    identity : str or callable
        File, in the folder of the daily bars, whose bytes say which version it is; or the SHA-256 that says it, of that folder.
    figures : callable
        (names, bars, data, manifest of the daily bars) -> figures by name, float64 (T, N) on the axes of `bars`, NaN where a name
        has none; each known at its session's close, and the same whatever range of bars is asked for.
    """

    name: str
    identity: str | Callable[[Path], str]
    figures: Callable[[tuple[str, ...], Bars, Path, Manifest], Mapping[str, Floats]]


def _of_minutes(names: tuple[str, ...], bars: Bars, data: Path, _manifest: Manifest) -> Mapping[str, Floats]:
    return session_figures(names, bars, data)


def _of_chains(_names: tuple[str, ...], bars: Bars, data: Path, manifest: Manifest) -> Mapping[str, Floats]:
    """Compute of the whole history: the forecasts that implied variances are compared with depend on where it begins."""
    from trainer.options.observations import observed  # it fits surfaces, which no other sleeve needs

    whole = load_bars(data, manifest, manifest.first, bars.asof)
    rows = np.searchsorted(whole.sessions, bars.sessions)
    columns = np.array([whole.column(symbol) for symbol in bars.symbols])
    return {name: panel[np.ix_(rows, columns)] for name, panel in observed(whole, data).items()}


def _of_forecasts(_names: tuple[str, ...], bars: Bars, data: Path, _manifest: Manifest) -> Mapping[str, Floats]:
    from trainer.samples.forecasts import forecasts  # no other sleeve needs a foundation model

    return forecasts(bars, data)


def _weights(data: Path) -> str:
    from trainer.learners.foundation.zero_shot import digest_of
    from trainer.samples.forecasts import checkpoint_of

    return digest_of(checkpoint_of(data)[1])


def _of_events(_names: tuple[str, ...], bars: Bars, _data: Path, _manifest: Manifest) -> Mapping[str, Floats]:
    from signals.events.figures import event_figures  # it brings indicators, which no other sleeve of days needs

    return event_figures(bars)


_BUILT_IN = (
    OtherDataset(MINUTE_BARS, f"{MINUTES}/manifest.json", _of_minutes),
    OtherDataset(CHAINS, f"{OPTIONS}/manifest.json", _of_chains),
    OtherDataset(FORECASTS, _weights, _of_forecasts),
    OtherDataset(DAILY_EVENTS, "manifest.json", _of_events),
)
INPUTS: PluginTable[OtherDataset] = PluginTable("trademl.inputs", OtherDataset, {one.name: one for one in _BUILT_IN})


def inputs_of(sleeve: Sleeve) -> tuple[OtherDataset, ...]:
    """Return the datasets that the sleeve reads beside its bars; raise `FixInput` for one that there is not."""
    names = [name for name in sleeve.inputs if sleeve.joined and name != DAILY]
    if strange := [name for name in names if name not in INPUTS]:
        what = f"the sleeve {sleeve.name} reads the input {strange[0]!r}, which nothing here computes"
        raise FixInput(what, where="trademl.inputs", fix=f"Install the package that has it; there are {', '.join(INPUTS)}")
    return tuple(INPUTS[name] for name in names)


def snapshots_of(sleeve: Sleeve, data: Path) -> dict[str, str]:
    """Return which versions of other datasets the sleeve's figures are of, for the evidence: SHA-256 of what identifies them."""
    try:
        return {
            one.name: sha256_of((data / one.identity).read_bytes()) if isinstance(one.identity, str) else one.identity(data)
            for one in inputs_of(sleeve)
        }
    except OSError as error:
        what = f"nothing says which version an input of {sleeve.name} is of ({reason_of(error)})"
        raise BadDataset(what, where=str(data), fix="Ingest it next to the daily bars") from None


def with_other_datasets(sleeve: Sleeve, bars: Bars, data: Path, manifest: Manifest) -> Bars:
    """Return the bars with what the sleeve reads beside them; the bars themselves where it reads nothing else.

    Raises
    ------
    FixInput
        The sleeve reads an input that there is not.
    BadDataset
        An input cannot be read, or gives figures on other axes than those of the bars.
    """
    beside = dict(bars.joined)
    for one in inputs_of(sleeve):
        beside |= one.figures(sleeve.joined, bars, data, manifest)
    if strange := [name for name, panel in beside.items() if panel.shape != bars.close.shape]:
        raise BadDataset(f"the figure {strange[0]} is on other axes than the bars", where=str(data), fix="Correct what computes it")
    return replace(bars, joined=beside) if beside else bars
