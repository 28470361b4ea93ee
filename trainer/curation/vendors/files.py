"""Parquet and CSV deliveries as frames, with one clear error for what cannot be read."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from signals.arrow import read_parquet as parquet_table
from signals.errors import BadBars

VENDOR_KEY = b"trademl.vendor"
NULL_WORDS = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})


def read_parquet(content: bytes, *, where: str) -> pd.DataFrame:
    """Read a Parquet file; raise `BadBars` when it is truncated or no Parquet at all."""
    try:
        # One thread: pyarrow's pool has been seen to abort a short-lived process at its exit.
        frame: pd.DataFrame = parquet_table(content).to_pandas(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadBars(
            f"not a readable Parquet file ({reason})", where=where, mend="Fetch the file again; it may be truncated"
        ) from None
    return frame.reset_index(drop=False) if frame.index.name else frame


def read_csv(content: bytes, *, where: str) -> pd.DataFrame:
    """Read a CSV file with every cell as text: the symbol "NA" is a symbol. Raises `BadBars`."""
    try:
        return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BadBars(
            f"not a readable CSV file ({error})", where=where, mend="Deliver UTF-8 CSV with a header"
        ) from None


READERS: Mapping[str, Callable[..., pd.DataFrame]] = {"parquet": read_parquet, "csv": read_csv}


def vendor_of(content: bytes, *, where: str) -> str:
    """Name of the vendor: what the Parquet file's own metadata says (`trademl.vendor`), else its form."""
    form = _form_of(where)
    if form == "parquet":
        said = (pq.read_schema(pa.BufferReader(content)).metadata or {}).get(VENDOR_KEY)
        return said.decode() if said else form
    return form


def _form_of(name: str) -> str:
    for ending, form in ((".parquet", "parquet"), (".pq", "parquet"), (".csv", "csv"), (".txt", "csv")):
        if name.lower().endswith(ending):
            return form
    raise BadBars("neither .parquet nor .csv", where=name, mend="Deliver the file as Parquet or CSV, or rename it")


def read_frame(content: bytes, *, where: str) -> pd.DataFrame:
    """Read a delivery by its ending; raise `BadBars` when it is empty or unreadable."""
    if not content:
        raise BadBars("the file is empty", where=where, mend="Fetch the file again")
    frame = READERS[_form_of(where)](content, where=where)
    if frame.empty:
        raise BadBars("the file has no rows", where=where, mend="Fetch the file again")
    return frame


def select(frame: pd.DataFrame, columns: Mapping[str, str], needed: tuple[str, ...], optional: tuple[str, ...],
           *, where: str) -> pd.DataFrame:  # fmt: skip
    """Rename the vendor's columns to ours; raise `BadBars` naming what is missing and what was found."""
    found = {str(name).strip().lower(): name for name in frame.columns}
    unknown = sorted(set(columns) - {*needed, *optional})
    if unknown:
        raise BadBars(
            f"the mapping names columns that we do not have: {', '.join(unknown)}", where=where,
            mend=f"Ours are {', '.join((*needed, *optional))}",
        )  # fmt: skip
    source = {ours: found.get(columns.get(ours, ours).strip().lower()) for ours in (*needed, *optional)}
    missing = [
        columns.get(ours, ours) for ours in source if source[ours] is None and (ours in needed or ours in columns)
    ]
    if missing:
        raise BadBars(
            f"missing column{'s' if len(missing) > 1 else ''}: {', '.join(missing)}",
            where=f"{where} has {', '.join(str(name) for name in frame.columns)}",
            mend="Name the vendor's columns with --mapping",
        )  # fmt: skip
    present = {ours: name for ours, name in source.items() if name is not None}
    return pd.DataFrame({ours: frame[name].reset_index(drop=True) for ours, name in present.items()})


def numbers(column: pd.Series, *, where: str) -> pd.Series:
    """Column as float64, empty cells as NaN; raise `BadBars` naming the first cell that is no number."""
    if column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
        text = column.astype("string").str.strip()
        text = text.mask(text.str.lower().isin(NULL_WORDS))
        parsed = pd.to_numeric(text, errors="coerce")
        wrong = parsed.isna() & text.notna()
        if bool(wrong.any()):
            place = int(wrong.to_numpy(dtype=bool).argmax())
            raise BadBars(
                f"{column.name}: {text.iloc[place]!r} is not a number", where=f"{where}, row {place + 1}",
                mend="Correct the cell, or leave it empty",
            )  # fmt: skip
        column = parsed
    return column.astype("float64")


def dates(column: pd.Series, form: str | None, *, where: str) -> pd.Series:
    """Column as midnight timestamps without a zone; raise `BadBars` naming the first unreadable date.

    Instants with a zone are taken as New York dates; integers as YYYYMMDD.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column, form = column.astype("Int64").astype("string"), form or "%Y%m%d"
    try:
        parsed = pd.to_datetime(column, format=form or ("ISO8601" if _is_text(column) else None), errors="coerce")
    except (ValueError, TypeError):
        raise BadBars("dates of several zones or forms", where=where, mend="Deliver ISO 8601 dates") from None
    if bool(parsed.isna().any()):
        place = int(parsed.isna().to_numpy(dtype=bool).argmax())
        raise BadBars(
            f"unreadable date {column.iloc[place]!r}", where=f"{where}, row {place + 1}",
            mend="Deliver ISO 8601 dates or give date_format in the mapping",
        )  # fmt: skip
    if parsed.dt.tz is not None:
        parsed = parsed.dt.tz_convert("America/New_York").dt.tz_localize(None)
    return parsed.dt.normalize().astype("datetime64[s]")


def symbols(column: pd.Series, *, where: str) -> pd.Series:
    """Column as text; raise `BadBars` for a row without a symbol."""
    text = column.astype("string").str.strip()
    empty = text.isna() | (text == "")
    if bool(empty.any()):
        place = int(empty.to_numpy(dtype=bool).argmax())
        raise BadBars("a row has no symbol", where=f"{where}, row {place + 1}", mend="Correct the delivery")
    return text.astype(object)


def _is_text(column: pd.Series) -> bool:
    return bool(pd.api.types.is_string_dtype(column.dtype)) and not isinstance(column.iloc[0], pd.Timestamp)


def instants(column: pd.Series, zone: str, *, where: str) -> pd.Series:
    """Column as UTC instants; times that name no zone are those of `zone`. Raises `BadBars` for an unreadable one."""
    try:
        parsed = pd.to_datetime(column, format="ISO8601" if _is_text(column) else None, errors="coerce")
        if bool(parsed.isna().any()):
            place = int(parsed.isna().to_numpy(dtype=bool).argmax())
            raise BadBars(
                f"unreadable time {column.iloc[place]!r}", where=f"{where}, row {place + 1}",
                mend="Deliver ISO 8601 times",
            )  # fmt: skip
        if parsed.dt.tz is None:
            parsed = parsed.dt.tz_localize(zone)
        return parsed.dt.tz_convert("UTC")
    except (ValueError, TypeError, AttributeError) as error:
        raise BadBars(f"times that cannot be read ({error})", where=where, mend="Deliver ISO 8601 times") from None
