"""Detects limits that a changed configuration loosens; these are refused while the device is halted. Pure.

The direction comes from the table: a row that trips below its limit is loosened by a lower one, any other by a higher
one. What the table does not name is listed here with its direction.
"""

from collections.abc import Mapping
from typing import Final

from appliance.config import ApplianceConfig, MissingSleeve
from appliance.controls.tripwires import TRIPWIRES

# limits that no row names; True: a lower value is the looser one
OTHERS: Final[dict[str, bool]] = {
    "ramp_sessions": True,
    "skips_that_halt": False,
    "pretrade.max_order_equity": False,
    "pretrade.max_order_adv": False,
    "pretrade.collar": False,
    "pretrade.cheap_collar": False,
    "pretrade.cheap_below_usd": False,
    "pretrade.gap_collar": False,
    "opinions.collar": False,
    "opinions.cheap_collar": False,
    "opinions.cheap_below_usd": False,
    "pretrade.min_short_equity_usd": True,
    "pretrade.reserve": True,
    "pretrade.allow_short": False,
    "require_green": True,
    "accept_unproven": False,
    "refuses_missing_sleeve": True,
    "cash_tolerance_usd": False,
}
LOOSER_BELOW: Final[dict[str, bool]] = OTHERS | {row.limit: row.trips_below for row in TRIPWIRES if isinstance(row.limit, str)}


def guarded(config: ApplianceConfig) -> dict[str, float]:
    """Return every limit that may not be loosened while halted, by name."""
    pretrade = {f"pretrade.{name}": value for name, value in config.execution.pretrade.model_dump().items()}
    opinions = {f"opinions.{name}": value for name, value in config.execution.opinions.model_dump().items()}
    found = (
        config.limits()
        | pretrade
        | opinions
        | {
            "require_green": config.require_green,
            "accept_unproven": config.accept_unproven,
            "refuses_missing_sleeve": config.missing_sleeve is MissingSleeve.REFUSE,
            "cash_tolerance_usd": config.execution.reconcile.cash_tolerance_usd,
        }
    )
    return {name: float(found[name]) for name in LOOSER_BELOW}


def loosened(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[str, ...]:
    """Return a clause for every limit that is looser now than `before`; a limit that was not recorded is passed over.

    Parameters
    ----------
    before, now : mapping of name to limit
        As `guarded` returns; `before` may come from a record in JSON.
    """
    return tuple(
        f"{name} from {before[name]:g} to {now[name]:g}"
        for name, is_looser_below in LOOSER_BELOW.items()
        if name in before and name in now and _is_past(now[name], before[name], is_looser_below)
    )


def _is_past(now: float, before: float, below: bool) -> bool:
    """Whether `now` is looser than `before`; a limit that is no number any more can never trip."""
    return now != now or (now < before if below else now > before)
