"""The stored case of a verdict: its inputs, its rows and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from signals.text.documents import to_json
from trainer.promotion.bars.config import PromotionConfig
from trainer.promotion.measured import BarWaiver, Measured, Rival, SealedBook, Shadow, Sights, Word
from trainer.runs.bar_results import BarResult
from trainer.runs.documents import parsed
from trainer.runs.evidence import Evidence
from trainer.runs.trials import Trials

OLD_WAIVER = "waiver"  # a reason alone, for a universe of survivors: nobody answered for it


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a verdict may look at, all of it stored.

    Attributes
    ----------
    evidence : Evidence
        `evidence.json` of the run.
    measured : Measured
        `promotion/measured.json`: the weight-level book walking forward and on the paths.
    trials : Trials
        Figures of that book over every trial on record when it was judged (`trainer/search/judgement.py`).
    holdout : SealedBook or None
        What opening the seal for this challenger showed; None while it is sealed.
    shadow : Shadow or None
        `promotion/shadow.json`.
    champion : Rival or None
        None before the first.
    searched_under : tuple of str
        Hashes of the bars that the training and its searches recorded when they started; empty where none was.
    seen : Sights or None
        Before this challenger's opening; None in a case of an earlier program.
    """

    evidence: Evidence
    measured: Measured
    trials: Trials = Trials()
    holdout: SealedBook | None = None
    shadow: Shadow | None = None
    champion: Rival | None = None
    searched_under: tuple[str, ...] = ()
    waivers: tuple[BarWaiver, ...] = ()
    seen: Sights | None = None
    word: Word | None = None

    def waived(self, bar: str, row: BarResult) -> BarResult:
        """Return `row`, passed where a person answers for the bar under a name and with a reason."""
        for waiver in self.waivers:
            by, reason = waiver.by.strip(), waiver.reason.strip()
            if waiver.bar == bar and by and reason:
                return replace(row, passed=True, why=f"waived by {by}: {reason} (it would fail: {row.why})")
        return row

    @classmethod
    def of(cls, document: Mapping[str, object], where: str = "a case") -> Case:
        """Return the case that `document` stored; raise `FixInput` where it has another shape."""
        known = {key: value for key, value in document.items() if key != OLD_WAIVER}
        old = [{"bar": "universe", "by": "", "reason": document[OLD_WAIVER]}] if document.get(OLD_WAIVER) else []
        return parsed(cls, {"waivers": old, **known}, where)


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

    def document(self) -> Mapping[str, object]:
        """Return the verdict as it is stored."""
        return {"verdict": self.word, "bars_hash": self.bars_hash, "rows": to_json(self.rows)}

    @classmethod
    def of(cls, document: Mapping[str, object]) -> PromotionVerdict:
        """Return the verdict that `document`, or a record that holds one, stored."""
        return parsed(cls, document, "a verdict")


Judge = Callable[[Case, PromotionConfig], BarResult]
