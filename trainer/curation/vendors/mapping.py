"""The column mapping of a vendor, read from YAML.

    bars:
      columns: {date: Date, symbol: Ticker, adj_close: Adj Close}
    minutes:
      label: end
      columns: {time: ts}
    actions:
      form: factors
      columns: {symbol: symbol, date: date}
    universe:
      columns: {start: start_date, end: end_date}

Ours on the left, the vendor's on the right; a column that is not named keeps our name, in upper or lower case.
With a section `minutes` the bars file holds minutes, which become daily bars of the regular hours.
"""

from enum import StrEnum
from pathlib import Path
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from signals.config import Config, load


class ActionForm(StrEnum):
    """How a vendor tells corporate actions."""

    ACTIONS = "actions"  # one row an action
    FACTORS = "factors"  # cumulative price and split factors, each valid through its date


class DecimalSign(StrEnum):
    """Decimal sign of a textual number."""

    POINT = "."
    COMMA = ","


class SymbolForm(StrEnum):
    """Conversion of the symbols of a delivery."""

    AS_DELIVERED = "as_delivered"
    BROKER = "broker"  # upper case, no exchange or country, share classes after a point: brk-b.US is BRK.B


class DateShift(StrEnum):
    """Shift of a file's dates against the sessions that they mean."""

    AS_DELIVERED = "as_delivered"
    DAY_EARLY = "day_early"  # midnight in UTC read in New York: Monday's bars on Sunday
    DAY_LATE = "day_late"  # the midnight that ends a session: Friday's bars on Saturday
    WEEKDAY_EARLY = "weekday_early"  # by one row of a table of weekdays: Monday's bars on Friday
    WEEKDAY_LATE = "weekday_late"


class Label(StrEnum):
    """Which end of its minute a minute's time marks."""

    START = "start"
    END = "end"


class Columns(Config):
    """Settings common to all files.

    Attributes
    ----------
    columns : mapping
        Our name to the vendor's.
    symbols : SymbolForm
        How the file writes symbols.
    """

    columns: dict[str, str] = Field(default_factory=dict)
    symbols: SymbolForm = SymbolForm.AS_DELIVERED


class BarColumns(Columns):
    """Columns of a bars file.

    Attributes
    ----------
    date_format : str, optional
        strptime format of textual dates; ISO 8601 where absent.
    dates : DateShift
        Where the file's dates are, next to the sessions; each date is moved back to its session.
    decimal : DecimalSign, optional
        What parts the decimals; where absent, what the figures together show.
    kind : str
        What a row is where the file has no kind column.
    kinds_by_folder : bool
        Whether a folder named `etfs` or `stocks` says it instead.
    symbol : str
        The symbol of every row, where neither a column nor the name of a file among others says it.
    """

    date_format: str | None = None
    dates: DateShift = DateShift.AS_DELIVERED
    decimal: DecimalSign | None = None
    kind: str = "stock"
    kinds_by_folder: bool = False
    symbol: str = ""


class MinuteColumns(Columns):
    """Columns of a file of minute bars: time, symbol, open, high, low, close, volume, kind, and the closing quotes bid and ask.

    `decimal` and `kind` are as of `BarColumns`.

    Attributes
    ----------
    label : Label
        Whether a bar's time is the start or the end of its interval. There is no default: the wrong one moves the
        opening or the closing auction to another bar.
    minutes : int
        Length of a bar.
    zone : str
        Zone of times that name none.
    """

    label: Label
    decimal: DecimalSign | None = None
    minutes: int = Field(default=1, ge=1, le=60)
    zone: str = "America/New_York"
    kind: str = "stock"

    @field_validator("zone")
    @classmethod
    def _exists(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"no time zone {zone!r}")
        return zone


class ActionColumns(Columns):
    """Columns and form of an actions file; `date_format`, `dates` (of what takes effect) and `decimal` as of bars."""

    form: ActionForm = ActionForm.ACTIONS
    date_format: str | None = None
    dates: DateShift = DateShift.AS_DELIVERED
    decimal: DecimalSign | None = None


class UniverseColumns(Columns):
    """Columns (symbol, start, end) of a membership file; an empty end means that the membership lasts.

    Attributes
    ----------
    date_format : str, optional
        As of `BarColumns`.
    is_end_inclusive : bool
        Whether the end date is the last day of the membership rather than the first day after it.
    """

    date_format: str | None = None
    is_end_inclusive: bool = False


class ClassificationColumns(UniverseColumns):
    """Columns (symbol, start, end, known_at, sector, shares) of a classification file; `decimal` as of bars."""

    decimal: DecimalSign | None = None


class ChainColumns(Columns):
    """Columns of a file of option quotes; `date_format` and `decimal` as of bars."""

    date_format: str | None = None
    decimal: DecimalSign | None = None


class Mapping(Config):
    """A vendor's naming of everything that it delivers."""

    bars: BarColumns = BarColumns()
    minutes: MinuteColumns | None = None
    actions: ActionColumns = ActionColumns()
    universe: UniverseColumns = UniverseColumns()
    classification: ClassificationColumns = ClassificationColumns()
    options: ChainColumns = ChainColumns()


def read_mapping(path: Path | None) -> Mapping:
    """Read a mapping file; none at all means our own names. Raises `BadConfig`."""
    return Mapping() if path is None else load(path, Mapping)
