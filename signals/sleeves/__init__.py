"""Sleeves, the scoring half: what each alpha source reads and computes. `SLEEVES` is the register."""

from collections.abc import Mapping

from signals.features.panel import FeatureSpec
from signals.plugins import PluginTable
from signals.sleeves.base import Sleeve

# Each is imported when it is asked for: events bring their detectors, minutes the catalogue of indicators.
BUILT_IN = {
    "equities_xs": "signals.sleeves.equities_xs:EQUITIES_XS",
    "risk": "signals.sleeves.risk:RISK",
    "options_vol": "signals.sleeves.options_vol:OPTIONS_VOL",
    "foundation_xs": "signals.sleeves.foundation:FOUNDATION_XS",
    "events": "signals.sleeves.events:EVENTS",
    "event_gate": "signals.sleeves.events:GATE",
    "event_quantiles": "signals.sleeves.events:QUANTILES",
    "event_arms": "signals.sleeves.events:ARMS",
    "patterns": "signals.sleeves.patterns:PATTERNS",
    "intraday_xs": "signals.sleeves.intraday:INTRADAY_XS",
    "intraday_seq": "signals.sleeves.intraday:INTRADAY_SEQ",
    "bars": "signals.sleeves.bars:BARS",
}
SLEEVES: PluginTable[Sleeve] = PluginTable("trademl.sleeves", Sleeve, BUILT_IN)


def specs(given: FeatureSpec) -> Mapping[str, FeatureSpec]:
    """Features that this program computes, by sleeve, in the shape of the `given` ones where the sleeve has that shape."""
    return {name: sleeve.spec_as(given) for name, sleeve in SLEEVES.items()}
