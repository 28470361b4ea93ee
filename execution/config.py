"""The configuration of planning, pre-trade checks and sending (`configs/execution.yml`)."""

from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from execution.planning.config import EntryConfig, EntryStyle, OpinionConfig, PlanningConfig, PretradeConfig
from signals.config import Config, section


class SubmissionConfig(Config):
    """How orders are sent and their outcome is proven.

    Attributes
    ----------
    lookup_seconds : tuple of float
        When, counted from the first, an order of unknown outcome is looked up by its client order id.
    send_until_minutes : int
        Auction orders leave until so many minutes before the open; Alpaca takes them until two minutes before.
    max_resends : int
        Resends of orders that were proven absent, a session; more halt the device.
    max_collar_refusals : int
        Orders refused for their price in one job; more halt the device.
    min_residual_usd : Decimal
        Smaller unfilled rests are left alone.
    settle_seconds : tuple of float
        Waits before the broker's reports are read again when they do not agree yet.
    """

    lookup_seconds: tuple[float, ...] = Field(default=(0, 2, 5, 15, 30, 60), min_length=1)
    send_until_minutes: int = Field(default=3, ge=2, le=60)
    max_resends: int = Field(default=3, ge=0)
    max_collar_refusals: int = Field(default=3, ge=0)
    min_residual_usd: Decimal = Field(default=Decimal(25), ge=0)
    settle_seconds: tuple[float, ...] = (2, 5, 15)


class ReconcileConfig(Config):
    """When ledger and broker count as agreed.

    Attributes
    ----------
    cash_tolerance_usd : Decimal
        Largest difference of cash; 0 is to the cent.
    activity_sessions : int
        Sessions of activities that are read again each time: what was booked late counts once it appears.
    """

    cash_tolerance_usd: Decimal = Field(default=Decimal(0), ge=0, le=1)
    activity_sessions: int = Field(default=5, ge=1, le=60)


class ExecutionConfig(Config):
    """Planning, pre-trade checks, submission, reconciliation, and the broker's second opinion on sizes."""

    planning: PlanningConfig = section()
    pretrade: PretradeConfig = section()
    submission: SubmissionConfig = section()
    reconcile: ReconcileConfig = section()
    entry: EntryConfig = section()
    opinions: OpinionConfig = section()

    @model_validator(mode="after")
    def _fractions_are_day_orders(self) -> Self:
        if self.planning.fractions and self.entry.kind is not EntryStyle.DAY:
            raise ValueError("planning.fractions needs entry.kind day: the broker takes a fraction as a day order only")
        return self
