"""Sleeves, the scoring half: what each alpha source reads and computes. `SLEEVES` is the register."""

from signals.sleeves.equities_xs import EQUITIES_XS
from signals.sleeves.risk import RISK

SLEEVES = {sleeve.name: sleeve for sleeve in (EQUITIES_XS, RISK)}
