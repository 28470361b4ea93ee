"""Sleeves, the scoring half: what each alpha source reads and computes. `SLEEVES` is the register."""

from signals.plugins import PluginTable
from signals.sleeves.bars import BARS
from signals.sleeves.base import Sleeve
from signals.sleeves.equities_xs import EQUITIES_XS
from signals.sleeves.options_vol import OPTIONS_VOL
from signals.sleeves.risk import RISK

SLEEVES = PluginTable("trademl.sleeves", Sleeve, {sleeve.name: sleeve for sleeve in (EQUITIES_XS, RISK, OPTIONS_VOL, BARS)})
