"""Sleeves, the scoring half: what each alpha source reads and computes. `SLEEVES` is the register."""

from collections.abc import Mapping

from signals.features.panel import FeatureSpec
from signals.plugins import PluginTable
from signals.sleeves.base import Sleeve
from signals.sleeves.equities_xs import EQUITIES_XS
from signals.sleeves.events import EVENTS
from signals.sleeves.foundation import FOUNDATION_XS
from signals.sleeves.options_vol import OPTIONS_VOL
from signals.sleeves.patterns import PATTERNS
from signals.sleeves.risk import RISK

# What reads minutes brings the catalogue of indicators, which a device of daily sleeves does without.
OF_MINUTES = {
    "intraday_xs": "signals.sleeves.intraday:INTRADAY_XS",
    "intraday_seq": "signals.sleeves.intraday:INTRADAY_SEQ",
    "bars": "signals.sleeves.bars:BARS",
}
OF_DAYS: dict[str, Sleeve | str] = {sleeve.name: sleeve for sleeve in (EQUITIES_XS, RISK, OPTIONS_VOL, FOUNDATION_XS, EVENTS, PATTERNS)}
SLEEVES: PluginTable[Sleeve] = PluginTable("trademl.sleeves", Sleeve, {**OF_DAYS, **OF_MINUTES})


def specs(given: FeatureSpec) -> Mapping[str, FeatureSpec]:
    """Features that this program computes, by sleeve, in the shape of the `given` ones where the sleeve has that shape."""
    return {name: sleeve.spec_as(given) for name, sleeve in SLEEVES.items()}
