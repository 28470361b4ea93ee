"""The stored case of a verdict: its inputs, its rows and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from trainer.promotion.bars.config import PromotionConfig

OLD_WAIVER = "waiver"  # a reason alone, for a universe of survivors: nobody answered for it


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a verdict may look at, all of it stored.

    Attributes
    ----------
    evidence : mapping
        `evidence.json` of the run.
    measured : mapping
        `promotion/measured.json`: the weight-level book walking forward and on the paths.
    trials : mapping
        Figures of that book over every trial on record when it was judged (`trainer/search/judgement.py`).
    holdout : mapping or None
        What opening the seal for this challenger showed; None while it is sealed.
    shadow : mapping or None
        `promotion/shadow.json`.
    champion : mapping or None
        `version` and net walk-forward `series` of the sleeve's champion, and how many `challengers` of it were judged
        within the last year, this one included; None before the first.
    searched_under : tuple of str
        Hashes of the bars that the training and its searches recorded when they started; empty where none was.
    waivers : tuple of mapping
        Bars that a person answers for: `bar`, `by` and `reason`.
    seen : mapping or None
        How often the sealed sessions were seen before this challenger's opening: `openings` of others' seals over them,
        and `looks`, models whose results on them were shown; None in a case of an earlier program.
    word : mapping or None
        A person's word that an equal challenger shall replace the champion: `reason`, `text`, `by`.
    """

    evidence: Mapping[str, Any]
    measured: Mapping[str, Any]
    trials: Mapping[str, Any] = field(default_factory=dict)
    holdout: Mapping[str, Any] | None = None
    shadow: Mapping[str, Any] | None = None
    champion: Mapping[str, Any] | None = None
    searched_under: tuple[str, ...] = ()
    waivers: tuple[Mapping[str, str], ...] = ()
    seen: Mapping[str, Any] | None = None
    word: Mapping[str, Any] | None = None

    def waived(self, bar: str, row: BarResult) -> BarResult:
        """Return `row`, passed where a person answers for the bar under a name and with a reason."""
        for waiver in self.waivers:
            by, reason = (str(waiver.get(key, "")).strip() for key in ("by", "reason"))
            if waiver.get("bar") == bar and by and reason:
                return replace(row, passed=True, why=f"waived by {by}: {reason} (it would fail: {row.why})")
        return row

    def document(self) -> dict[str, Any]:
        """Return the case as it is stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Case:
        """Return the case that `document` stored."""
        known = {key: value for key, value in document.items() if key != OLD_WAIVER}
        old = [{"bar": "universe", "by": "", "reason": document[OLD_WAIVER]}] if document.get(OLD_WAIVER) else []
        return cls(**{**known, "searched_under": tuple(document["searched_under"]), "waivers": tuple(document.get("waivers", old))})


@dataclass(frozen=True)
class BarResult:
    """One bar: what was found, what is asked, whether it passes, and why.

    `power` says how often the bar is wrong at the size of this evidence; empty for what is counted, not estimated.
    """

    bar: str
    value: float | str | None
    limit: float | str
    passed: bool
    why: str
    power: str = ""


@dataclass(frozen=True)
class PromotionVerdict:
    """Promoted when every row passes."""

    rows: tuple[BarResult, ...]
    bars_hash: str

    @property
    def is_promoted(self) -> bool:
        """Whether every bar is met."""
        return all(row.passed for row in self.rows)

    @property
    def word(self) -> str:
        """`promoted` or `refused`."""
        return "promoted" if self.is_promoted else "refused"

    @property
    def refusal(self) -> str:
        """Every failed bar in one sentence each; empty when promoted."""
        return "; ".join(f"{row.bar}: {row.why}{f' ({row.power})' * bool(row.power)}" for row in self.failed)

    @property
    def failed(self) -> tuple[BarResult, ...]:
        """The rows that do not pass."""
        return tuple(row for row in self.rows if not row.passed)

    def document(self) -> dict[str, Any]:
        """Return the verdict as it is stored."""
        return {"verdict": self.word, "bars_hash": self.bars_hash, "rows": [asdict(row) for row in self.rows]}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> PromotionVerdict:
        """Return the verdict that `document`, or a record that holds one, stored."""
        return cls(tuple(BarResult(**row) for row in document["rows"]), str(document["bars_hash"]))


Judge = Callable[[Case, PromotionConfig], BarResult]


def at_least(bar: str, value: float | None, limit: float, why: str) -> BarResult:
    """Row of a figure that may not be below its limit; no finite figure is no evidence."""
    if value is None or not np.isfinite(value):
        return BarResult(bar, None, limit, False, "no evidence")
    return BarResult(bar, value, limit, value >= limit, why if value >= limit else f"{value:.4g} is below {limit:.4g}, {why}")


def at_most(bar: str, value: float | None, limit: float, why: str) -> BarResult:
    """Row of a figure that may not be above its limit; no finite figure is no evidence."""
    if value is None or not np.isfinite(value):
        return BarResult(bar, None, limit, False, "no evidence")
    return BarResult(bar, value, limit, value <= limit, why if value <= limit else f"{value:.4g} is above {limit:.4g}, {why}")


def get(document: object, *keys: str) -> Any:  # Any: a JSON value of any shape
    """Entry below nested keys; None where a part is missing or no mapping."""
    for key in keys:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def series(document: object) -> dict[str, float]:
    """Net return by session, as stored; empty where there is none."""
    sessions, net = get(document, "series", "sessions"), floats(get(document, "series", "net"))
    return dict(zip(sessions, net, strict=True)) if isinstance(sessions, list) and len(sessions) == len(net) else {}


def floats(value: object) -> list[float]:
    """Return a list of finite numbers; empty for anything else."""
    return [float(v) for v in value] if isinstance(value, list) and all(map(is_number, value)) else []


def number(document: object, key: str) -> float | None:
    """Finite number under `key`; None for anything else."""
    value = get(document, key)
    return float(value) if is_number(value) else None


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
