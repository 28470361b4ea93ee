"""What devices recorded of a shadow: what counts, what is a fault, and what is nobody's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest

from signals.bundle import Part, Role
from signals.errors import FixInput
from signals.files import sha256_of, write_atomic
from signals.market.sessions import Calendar, xnys
from signals.scoring.shadow_logs import ShadowEvening, ShadowLog
from tests.fakes import bundles
from trainer.promotion.shadow_record import Recorded, ScoringBundle, read_recorded

CALENDAR: Calendar = xnys(date(2024, 1, 2), date(2024, 12, 31))
DAYS = CALENDAR.between(date(2024, 3, 1), date(2024, 3, 29))
OURS = bundles.Recipe(role=Role.SHADOW, refusal=None, last=date(2024, 2, 20))
THEIRS = OURS.but(seq=2).with_file("model.onnx", Part.MODEL, b"another model")
MODEL = tuple(f.sha256 for f in OURS.manifest().of(Part.MODEL))
TONIGHT = timedelta(hours=2)


def evening(asof: date, of: bundles.Recipe = OURS, *, late: bool = False, **scores: float) -> ShadowEvening:
    at = CALENDAR.session(CALENDAR.next(asof)).open if late else CALENDAR.session(asof).close + TONIGHT
    return ShadowEvening(asof=asof, source=digest(of), recorded_at=at, scores=scores or {"AAA": 1.0, "BBB": -1.0})


def digest(of: bundles.Recipe) -> str:
    return sha256_of(of.manifest().to_bytes())


def log(*evenings: ShadowEvening, last: date | None = None, faults: Mapping[date, str] | None = None) -> ShadowLog:
    kept = {digest(of): of.manifest().to_bytes().decode() for of in (OURS, THEIRS)}
    return ShadowLog(
        venue="alpaca-paper",
        is_rehearsal=False,
        first_session=CALENDAR.next(evenings[0].asof),
        last_session=last or CALENDAR.next(evenings[-1].asof),
        manifests=kept,
        evenings=evenings,
        faults=dict(faults or {}),
    )


def test_what_its_lineage_scored_counts_after_the_run_s_own_bundle_expired(tmp_path: Path) -> None:
    """The model was trained again after two evenings; the device no longer keeps that bundle's manifest.

    Without the lineage the record ends before it, and the run's own bundle would have expired on the third evening.
    """
    old = OURS.but(expiry_sessions=CALENDAR.index(DAYS[1]) - CALENDAR.index(OURS.last))
    whole = log(evening(DAYS[0], old), evening(DAYS[1], old), evening(DAYS[2], THEIRS), evening(DAYS[3], THEIRS))
    kept = {digest(old): old.manifest().to_bytes().decode()}
    told = whole.model_copy(update={"manifests": kept})
    again = ("a" * 64,)
    lineage = {digest(THEIRS): ScoringBundle(again, DAYS[1])}
    found = read(tmp_path, told, lineage=lineage)
    assert (found.first, found.last) == (DAYS[0], DAYS[3]) and not any(found.fault(day) for day in DAYS[:4])
    assert [found.models[day] for day in DAYS[:4]] == [MODEL, MODEL, again, again]
    assert read(tmp_path, told).last == DAYS[1]


def read(tmp_path: Path, *logs: ShadowLog, lineage: Mapping[str, ScoringBundle] | None = None) -> Recorded:
    for number, one in enumerate(logs):
        write_atomic(tmp_path / "logs" / f"{number}.json", one.to_bytes())
    return read_recorded(tmp_path / "logs", MODEL, CALENDAR, lineage)


def test_a_log_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    found = read(tmp_path, log(evening(DAYS[0], AAA=0.1 + 0.2), evening(DAYS[1]), faults={DAYS[3]: "expired"}))
    assert found.scores[DAYS[0]] == {"AAA": 0.1 + 0.2} and found.venues == ("alpaca-paper",)
    assert (found.first, found.last, found.sources) == (DAYS[0], DAYS[1], (digest(OURS),))
    assert found.fault(DAYS[0]) == found.fault(DAYS[1]) == ""


def test_a_session_that_was_not_recorded_is_a_fault_in_the_device_s_words_where_it_has_any(tmp_path: Path) -> None:
    """Of five evenings the second was told, the third passed in silence."""
    whole = [evening(DAYS[i]) for i in (0, 3, 4)]
    found = read(tmp_path, log(*whole, faults={DAYS[2]: "the disk was full"}))
    told = [found.fault(day) for day in DAYS[:5]]
    assert told == ["", "the device: the disk was full", "no device recorded scores", "", ""]


def test_what_was_told_and_then_scored_after_all_is_no_fault(tmp_path: Path) -> None:
    found = read(tmp_path, log(evening(DAYS[0]), evening(DAYS[1]), faults={DAYS[2]: "tried once"}))
    assert found.fault(DAYS[1]) == ""


def test_scores_of_which_nobody_knew_before_the_open_are_a_fault(tmp_path: Path) -> None:
    unended = evening(DAYS[2]).model_copy(update={"recorded_at": None})
    found = read(tmp_path, log(evening(DAYS[0]), evening(DAYS[1], late=True), unended))
    assert [bool(found.fault(day)) for day in DAYS[:3]] == [False, True, True]
    assert "open already" in found.fault(DAYS[1])


def test_logs_complete_one_another_and_may_not_contradict(tmp_path: Path) -> None:
    early = log(evening(DAYS[0]), evening(DAYS[1], AAA=1.0))
    later = log(evening(DAYS[1], AAA=2.0), evening(DAYS[2]))
    found = read(tmp_path, early, later)
    assert [found.fault(day) for day in DAYS[:3]] == ["", "two logs hold different scores", ""]
    assert (found.first, found.last) == (DAYS[0], DAYS[2])


@pytest.mark.parametrize(
    ("whole", "last"),
    [
        (log(evening(DAYS[0]), evening(DAYS[1]), last=DAYS[6]), DAYS[5]),
        (log(evening(DAYS[0]), evening(DAYS[1]), evening(DAYS[4], THEIRS), last=DAYS[6]), DAYS[3]),
    ],
    ids=["until the device stopped", "until another shadow came"],
)
def test_sessions_that_were_never_asked_for_are_no_faults(tmp_path: Path, whole: ShadowLog, last: date) -> None:
    assert read(tmp_path, whole).last == last


def test_nothing_is_asked_of_an_expired_bundle(tmp_path: Path) -> None:
    """Trained until 2024-02-20 and good for 70 sessions: until 2024-05-30."""
    found = read(tmp_path, log(evening(DAYS[0]), last=date(2024, 9, 3)))
    assert found.last == CALENDAR.offset(date(2024, 2, 20), 70) == date(2024, 5, 30)


def test_scores_of_another_model_or_another_role_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FixInput, match="of this run's model as a shadow"):
        read(tmp_path, log(evening(DAYS[0], THEIRS)))
    unproven = bundles.Recipe(last=OURS.last)
    traded = log(evening(DAYS[0])).model_copy(
        update={"manifests": {digest(unproven): unproven.manifest().to_bytes().decode()}, "evenings": (evening(DAYS[0], unproven),)}
    )
    with pytest.raises(FixInput, match="of this run's model as a shadow"):
        read(tmp_path, traded)


def test_a_manifest_that_is_not_the_named_one_is_refused(tmp_path: Path) -> None:
    """Another model's manifest under the hash of ours: nobody hands scores from one model to another."""
    content = log(evening(DAYS[0], THEIRS)).to_bytes().replace(digest(OURS).encode(), b"0" * 64)
    swapped = content.replace(digest(THEIRS).encode(), digest(OURS).encode())
    for broken in (swapped, content[:-40], b"{}", b"[]"):
        write_atomic(tmp_path / "logs" / "x.json", broken)
        with pytest.raises(FixInput, match="not a shadow log"):
            read_recorded(tmp_path / "logs" / "x.json", MODEL, CALENDAR)


def test_a_place_without_a_log_is_named(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(FixInput):
            read_recorded(place, MODEL, CALENDAR)
