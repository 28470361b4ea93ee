"""Sleeves, the scoring half: what each alpha source reads and computes. `SLEEVES` is the register."""

from collections.abc import Mapping

from signals.features.panel import FeatureSpec
from signals.plugins import PluginTable
from signals.sleeves.bars import BARS
from signals.sleeves.base import Sleeve
from signals.sleeves.equities_xs import EQUITIES_XS
from signals.sleeves.intraday import INTRADAY_SEQ, INTRADAY_XS
from signals.sleeves.options_vol import OPTIONS_VOL
from signals.sleeves.risk import RISK

_BUILT_IN = (EQUITIES_XS, RISK, OPTIONS_VOL, INTRADAY_XS, INTRADAY_SEQ, BARS)
SLEEVES = PluginTable("trademl.sleeves", Sleeve, {sleeve.name: sleeve for sleeve in _BUILT_IN})


def specs(given: FeatureSpec) -> Mapping[str, FeatureSpec]:
    """Features that this program computes, by sleeve, in the shape of the `given` ones where the sleeve has that shape."""
    return {name: sleeve.shaped_as(given).spec for name, sleeve in SLEEVES.items()}
