"""The device's configuration, read from one file, config.yml; unknown keys are errors.

Addresses and paths: a flag beats a `TRADEML_` variable, a variable beats `config.yml`. Limits, venue, roles, portfolio,
execution and whatever else can change an order come from `config.yml` alone, whose hash every order row carries; secrets come
from the credentials folder alone. A variable that names one is refused.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from appliance.controls.limits import TripwireLimits
from appliance.schedule.timetable import Entering
from execution.config import ExecutionConfig
from execution.exchange.config import ExchangeConfig
from portfolio.config import PortfolioConfig
from signals.config import Config, parse, read_mapping, section
from signals.scoring.sleeve_weights import SleeveName, from_router
from signals.settings import DEFAULT_LEVEL, Level, settle
from signals.storage.s3 import S3Config

NOT_TRADED = frozenset({"event_arms", "event_gate", "event_quantiles", "patterns", "risk", "shadow", "stack", "sizing"})


class Venue(StrEnum):
    """The venue of the broker's client; written by `init` and never switched by the program."""

    EXCHANGE = "exchange"
    ALPACA_PAPER = "alpaca-paper"


class ClockSource(StrEnum):
    """Whose word on the time counts: this machine's own, or the broker's alone where the machine cannot vouch for its clock."""

    HOST = "host"
    BROKER = "broker"


class Scoring(StrEnum):
    """Who computes the scores: this device from its bundle, or the trainer, which delivers them signed."""

    LOCAL = "local"
    PULLED = "pulled"


class SleeveConfig(Config):
    """One sleeve that the device trades; a number in its place is its weight.

    Attributes
    ----------
    weight : float
        Positive, on any scale: it counts by its share of all weights.
    scoring : Scoring or None
        Who computes its scores; None is the device's own `scoring`.
    """

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    scoring: Scoring | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_weight(cls, given: object) -> object:
        return {"weight": given} if isinstance(given, int | float) and not isinstance(given, bool) else given


class MissingSleeve(StrEnum):
    """Handling of a routed sleeve without scores: its share stays unallocated, or the session is refused."""

    REDUCE = "reduce"
    REFUSE = "refuse"


class VenueConfig(Config):
    """Where orders go.

    Attributes
    ----------
    url : str
        Of a served embedded exchange (`http://127.0.0.1:PORT`); empty hosts it in this process, with virtual time.
    seed : int
        Of a hosted exchange.
    exchange : ExchangeConfig
        Settings of a hosted exchange, the starting cash among them.
    """

    broker: Venue = Venue.EXCHANGE
    url: str = ""
    seed: int = 0
    exchange: ExchangeConfig = section()

    @property
    def is_hosted(self) -> bool:
        """Whether the exchange lives in this process."""
        return self.broker is Venue.EXCHANGE and not self.url


def _place(given: object) -> object:
    return str(given) if isinstance(given, Path) else given


PlaceText = Annotated[str, BeforeValidator(_place)]


class BarsFrom(StrEnum):
    """The source of bars of the sessions that the published dataset does not hold yet."""

    PUBLISHED = "published"
    ALPACA = "alpaca"


class AlpacaBarsConfig(Config):
    """How bars are asked of Alpaca's market data.

    Attributes
    ----------
    feed : str
        `sip`, the consolidated tape. `iex` is refused: one venue sees a few per cent of the volume, and features
        are computed from volume.
    url : str
        Empty is the venue's own: Alpaca's data host, or the embedded exchange.
    """

    feed: str = "sip"
    url: str = ""

    @field_validator("feed")
    @classmethod
    def _whole_tape(cls, feed: str) -> str:
        if feed != "sip":
            raise ValueError(
                f"the feed {feed!r} is refused for features: it holds a few per cent of the volume; only sip, the "
                "consolidated tape, is the market that the model was trained on"
            )
        return feed


class StoresConfig(Config):
    """Where published things are read from.

    Attributes
    ----------
    data : str
        Folder of the curated dataset, or `s3://bucket/prefix`.
    bundles : str
        Folder of published bundles, or `s3://bucket/prefix`.
    s3 : S3Config
        How an object store is reached; its key pair is among the credentials.
    bars : BarsFrom
        `alpaca`: the published dataset gives history and calendar, Alpaca the sessions after it.
    prefer : str
        Where the store has both, which bundle is taken: `champion`, or `evaluation`, which takes part only where
        unproven bundles are accepted.
    """

    data: PlaceText
    bundles: PlaceText
    s3: S3Config = section()
    bars: BarsFrom = BarsFrom.PUBLISHED
    alpaca: AlpacaBarsConfig = section()
    prefer: Literal["champion", "evaluation"] = "champion"


class BackupConfig(Config):
    """Where copies of the ledger go every night, and how many stay.

    Attributes
    ----------
    to : str
        A folder, best on another disk, or `s3://bucket/prefix`; empty keeps none, and `appliance doctor` says so.
    s3 : S3Config
        How an object store is reached; its key pair is among the credentials.
    daily : int
        The newest that stay.
    monthly : int
        In addition, the newest of each of so many months stay.
    """

    to: str = ""
    s3: S3Config = section()
    daily: int = Field(14, ge=1)
    monthly: int = Field(12, ge=0)


class ApplianceConfig(Config):
    """The whole device.

    Attributes
    ----------
    sleeves : mapping of sleeve to SleeveConfig
        What is traded, by weight. `router: {weights: ...}` of the release before is read as the same.
    stack : bool
        Count the sleeves by the published stack's signed weights; those of `sleeves` hold where these are refused.
    sizing : bool
        Multiply the target book by the published sizing policy; where it is refused, the multiplier of the last plan holds.
    draw_sizes : bool
        Draw a multiplier in shadow with each plan, for `trainer policy --decisions`; it changes no order.
    missing_sleeve : MissingSleeve
        What happens when a sleeve has no scores; where more than half of the weight has none, the session is refused.
    require_green : bool
        Trade on GREEN sessions only; AMBER is enough otherwise.
    accept_unproven : bool
        Let an `evaluation` bundle trade on a real paper account, at the portfolio's `rehearsal_gross`.
    scoring : Scoring
        Of every sleeve that names none of its own. `pulled` takes the signed scores that `trainer score-daily` delivers
        instead of computing them. The same scores give the same orders: it is no part of the configuration hash.
    clock : ClockSource
        `broker`: in a container, under WSL or on macOS, where neither chrony nor the kernel says that the clock is
        synchronised; then the comparison with the broker's clock is all there is.
    daily_message : bool
        Say each evening on which nothing is broken that all is well, with equity, orders and the next action. These figures then
        leave the device for the addresses of alerts.
    log_level : str
        Of the log; no part of the hash either.
    """

    venue: VenueConfig = section()
    stores: StoresConfig
    backup: BackupConfig = section()
    sleeves: dict[SleeveName, SleeveConfig] = Field(default={"equities_xs": {}}, min_length=1, validate_default=True)
    stack: bool = False
    sizing: bool = False
    draw_sizes: bool = False
    missing_sleeve: MissingSleeve = MissingSleeve.REDUCE
    portfolio: PortfolioConfig = section()
    execution: ExecutionConfig = section()
    tripwires: TripwireLimits = section()
    require_green: bool = False
    accept_unproven: bool = False
    scoring: Scoring = Scoring.LOCAL
    clock: ClockSource = ClockSource.HOST
    daily_message: bool = False
    log_level: Level = DEFAULT_LEVEL

    @model_validator(mode="before")
    @classmethod
    def _reads_router(cls, given: object) -> object:
        return from_router(given)

    @field_validator("sleeves")
    @classmethod
    def _may_be_traded(cls, sleeves: dict[str, SleeveConfig]) -> dict[str, SleeveConfig]:
        if taken := sorted(NOT_TRADED & set(sleeves)):
            why = "risk forecasts scale every book, patterns and what is said of events are shown, the others are places of a device"
            raise ValueError(f"{taken[0]} is no sleeve that is traded: {why}")
        return sleeves

    @model_validator(mode="after")
    def _draws_for_the_whole_book(self) -> Self:
        if self.sizing and self.draw_sizes:
            raise ValueError("draw_sizes needs sizing: false: draws are about the whole book, which a policy has sized there")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every sleeve that is traded, in the configured order."""
        return {name: sleeve.weight for name, sleeve in self.sleeves.items()}

    def scoring_of(self, sleeve: str) -> Scoring:
        """Who computes a sleeve's scores."""
        own = self.sleeves.get(sleeve)
        return own.scoring if own is not None and own.scoring is not None else self.scoring

    @property
    def starting_equity(self) -> Decimal:
        """USD with which a hosted exchange opens the account."""
        return self.venue.exchange.cash

    @property
    def entering(self) -> Entering:
        """When plans enter the market, as the timetable asks for it."""
        entry = self.execution.entry
        return Entering(entry.kind.value, entry.steps, entry.first_minutes, entry.last_minutes)

    def limits(self) -> dict[str, float]:
        """Every limit of the tripwire table by name; those of planning and pre-trade checks come from there."""
        own = {name: float(value) for name, value in self.tripwires.model_dump().items()}
        pretrade, execution = self.execution.pretrade, self.execution
        return own | {
            "max_planned_gross": float(pretrade.max_gross),
            "max_net": float(pretrade.max_net),
            "max_name": float(pretrade.max_name),
            "max_rounding": execution.planning.max_rounding,
            "max_resends": float(execution.submission.max_resends),
            "max_collar_refusals": float(execution.submission.max_collar_refusals),
            "max_disputed_names": execution.opinions.max_names,
            "max_disputed_gross": execution.opinions.max_gross,
            "max_unexplained_equity": execution.opinions.max_equity,
        }

    def decision_hash(self) -> str:
        """SHA-256 over every setting that can change an order; the places of files are not among them."""
        routed: dict[str, object] = {"weights": self.weights}  # under the name of before: the same orders have the same hash
        if self.missing_sleeve is not MissingSleeve.REDUCE:
            routed["missing"] = self.missing_sleeve.value
        if self.stack:
            routed["stack"] = True
        if self.sizing:
            routed["sizing"] = True
        named = {name: getattr(self, name) for name in _WithoutPlaces.model_fields if name != "router"}
        return _WithoutPlaces(**named, router=routed).fingerprint()


class _WithoutPlaces(Config):
    venue: VenueConfig
    router: dict[str, object]
    portfolio: PortfolioConfig
    execution: ExecutionConfig
    tripwires: TripwireLimits
    require_green: bool
    accept_unproven: bool


_given_level: ContextVar[Level | None] = ContextVar("log level of a flag or a variable", default=None)
SECRETS = ("alpaca_key_id", "alpaca_secret_key", "alert_urls", "heartbeat_url", "s3", "backup", "key", "secret", "token", "password")


class ObjectStorePlace(Config):
    """Where an object store is."""

    endpoint: str | None = None


class StorePlaces(Config):
    """Where published things are read from."""

    data: str | None = None
    bundles: str | None = None
    s3: ObjectStorePlace = section()


class BackupPlace(Config):
    """Where copies of the ledger go."""

    to: str | None = None
    s3: ObjectStorePlace = section()


class DeviceSettings(Config):
    """Settings of a device that a variable may give; None leaves the file's.

    Attributes
    ----------
    state, credentials, runtime : Path or None
        Defaults of the options of these names.
    stores, backup : StorePlaces, BackupPlace
    """

    state: Path | None = None
    credentials: Path | None = None
    runtime: Path | None = None
    stores: StorePlaces = section()
    backup: BackupPlace = section()
    log_level: Level | None = None


def device_settings() -> DeviceSettings:
    """Return what the environment says; raise `BadConfig` for a variable that names nothing, or what it may not decide."""
    by_file = {name: "config.yml" for name in ApplianceConfig.model_fields if name not in DeviceSettings.model_fields}
    by_credentials = {name: "the credentials folder" for name in SECRETS if name not in DeviceSettings.model_fields}
    return settle(DeviceSettings, {}, where="environment", decided_by=by_credentials | by_file)


def set_log_level(flag: Level | None) -> None:
    """Set the level of this program's log: the flag's, else the environment's, else, once it is read, that of `config.yml`."""
    given = flag or device_settings().log_level
    _given_level.set(given)
    logging.getLogger().setLevel(given or DEFAULT_LEVEL)


def load_config(path: Path) -> ApplianceConfig:
    """Read `config.yml`, with the addresses that the environment gives in place of its own, and log as it says.

    Raises
    ------
    BadConfig
        The file or a variable has a key or value that is not accepted.
    """
    places = device_settings().model_dump(include={"stores", "backup"}, exclude_none=True)
    config = parse(_over(read_mapping(path), places), ApplianceConfig, where=str(path))
    if _given_level.get() is None:
        logging.getLogger().setLevel(config.log_level)
    return config


def _over(file: Mapping[str, object], places: Mapping[str, object]) -> dict[str, object]:
    merged = dict(file)
    for name, value in places.items():
        own = merged.get(name)
        if not isinstance(value, dict):
            merged[name] = value
        elif value and isinstance(own, dict | None):
            merged[name] = _over(own or {}, value)
    return merged
