"""Promotes and rolls back champions: measures, judges, opens the holdout once, records the result.

The registry is a folder: the two chains of `trainer/promotion/history.py`, `cases/<sha256>.json`, all that each verdict was given
on, and `trials.jsonl`, every trial that a promotion has seen. The order of writes makes every interruption safe: the
judged book is on the record of trials before there is a verdict; the opening of a holdout is on disk before a sealed
row is read; the history says who is champion before `promotion.json` lets a bundle be published; and promoting the
champion of now writes that file again and nothing else.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from signals.bundle import Role
from signals.config import parse
from signals.errors import FixInput
from signals.files import sha256_of, write_atomic
from signals.market.manifest import Survivorship
from signals.scoring.evidence import Holdout
from signals.text.documents import to_json
from trainer.backtest.subject import BacktestSubject, BookSettings, subject_of
from trainer.promotion import history, lineage_log
from trainer.promotion.bars.config import Case, PromotionConfig, PromotionVerdict
from trainer.promotion.bars.judge import RULES, is_worth_opening, judge
from trainer.promotion.history import CHAMPIONS, OPENINGS, ChampionEvent, case_path, read_case
from trainer.promotion.measure import FOLDER, Step, challenger_id, forecasts, measured, model_hashes, open_holdout
from trainer.promotion.measured import BarWaiver, Labelled, Measured, Rival, SealedBook, Shadow, Sights, Word, measure_of
from trainer.promotion.shadow_record import COMMAND, SHADOW
from trainer.runs import looks
from trainer.runs.chain import Chain, ChainAnchor, Record
from trainer.runs.evidence import EVIDENCE, finite, read_evidence
from trainer.runs.run_folder import canonical_json, exclusive, file_hash, parsed, read_hashed, read_object
from trainer.search.challenger import Challenger, entered, searched_under, series_of, trained, weighed
from trainer.tasks.recipes import task_of_kind

PERMISSION, VERDICT = "promotion.json", "verdict.json"
FIRST_RULES = 1  # of records that name none
YEAR_SESSIONS = 252


@dataclass(frozen=True)
class PromotionRequest:
    """Challenger, records and settings of a promotion.

    Attributes
    ----------
    registry : Path
        Folder of the histories.
    code_version : str
        Of the program that judges.
    at : datetime
        UTC; is kept in the records.
    """

    run: Path
    data: Path
    registry: Path
    bars: PromotionConfig
    settings: BookSettings
    code_version: str
    at: datetime
    waivers: tuple[BarWaiver, ...] = ()
    word: Word | None = None


@dataclass(frozen=True, eq=False)
class PromotionOutcome:
    """The verdict and its record; `is_new` is False when this very model was champion already, on this evidence."""

    verdict: PromotionVerdict
    record: Record
    is_new: bool


def promote(request: PromotionRequest, step: Step = lambda name: None) -> PromotionOutcome:
    """Judge a run; record the verdict, and on success write `promotion.json` into the run folder.

    Raises
    ------
    FixInput
        The run, its dataset or a history cannot be used.
    Locked
        Another promotion holds the registry.
    """
    with exclusive(request.registry, "promotion"):
        known = history.read(request.registry / CHAMPIONS)
        subject = subject_of(request.run, request.data)
        now = history.champion(known, subject.evidence.sleeve)
        if subject.evidence.lineage is not None:
            raise FixInput(
                "a retraining is never promoted by itself",
                where=str(request.run),
                fix="Train a challenger by `trainer train`, and promote that",
            )
        if now is not None and _is_of(request.registry, now, request.run):
            lineage_log.begin(request.registry, request.run, Role.CHAMPION, str(now["why"]), request.at)
            _permit(request.run, now)
            return PromotionOutcome(PromotionVerdict.of(now), now, is_new=False)
        case = _case(subject, request, now, step)
        verdict = judge(case, request.bars)
        content = canonical_json(case)
        write_atomic(case_path(request.registry, sha256_of(content)), content)
        record = {**_record(subject, request, case, verdict, known), "case_sha256": sha256_of(content)}
        if len(record["model_sha256"]) == 1:  # what MLflow shows of a verdict; a lineage keeps its own
            lineage_log.keep(request.registry, (request.run / lineage_log.MODEL).read_bytes())
        made = _added(request.registry, record)
        write_atomic(request.run / FOLDER / VERDICT, canonical_json(verdict.document()))
        if verdict.is_promoted:
            lineage_log.begin(request.registry, request.run, Role.CHAMPION, str(made["why"]), request.at)
            _permit(request.run, made)
        return PromotionOutcome(verdict, made, is_new=True)


def rollback(registry: Path, sleeve: str, version: str, reason: str, at: datetime) -> Record:
    """Make an earlier champion the champion again, by one more record.

    Raises
    ------
    FixInput
        The sleeve never had that version, or it is champion now.
    """
    with exclusive(registry, "promotion"):
        known = history.read(registry / CHAMPIONS)
        now, earlier = history.champion(known, sleeve), former(known, sleeve, version)
        if now is None or now["version"] == version:
            raise FixInput(f"{version} is the champion of {sleeve} now", fix="Name an earlier version")
        kept = {key: value for key, value in earlier.items() if key not in ("number", "previous")}
        return _added(
            registry,
            kept | {"event": str(ChampionEvent.ROLLED_BACK), "at": at.isoformat(), "why": reason.strip(), "instead_of": now["version"]},
        )


def former(known: Chain, sleeve: str, version: str) -> Record:
    """Return the record that promoted a version; raise `FixInput` when there was none."""
    for record in reversed(known.records):
        if (record["sleeve"], record["event"], record["version"]) == (sleeve, ChampionEvent.PROMOTED, version):
            return record
    raise FixInput(f"{sleeve} never had a champion {version}", fix="`trainer history` lists them")


def confirm(registry: Path, run: Path) -> Record:
    """Return the record of the champion of now that this run is; what the bundle will say of it is written from the registry again.

    Raises
    ------
    FixInput
        The registry's champion is another model, the same one judged on other evidence, or none; or the run is a
        retraining that was refused, or of another's lineage.
    """
    evidence = read_evidence(run)
    sleeve = evidence.sleeve
    now = history.champion(history.read(registry / CHAMPIONS), sleeve)
    if now is not None and evidence.lineage is not None:
        head = lineage_log.require_head(registry, run, Role.CHAMPION).head
        own = {name: head[name] for name in ("model_sha256", "evidence_sha256")}
        promoted = {name: now.get(name) for name in own}
        _permit(run, {**now, **own, "promoted": promoted, "retrained": dict(head)})
        return now
    newer = lineage_log.begun_by(registry, run) if now is not None and _is_of(registry, now, run) else None
    if newer is not None and newer.retrained:
        raise FixInput(
            f"{newer.head['run']} was trained after this run and is the champion's newest model", where=str(run), fix="Publish that run"
        )
    if now is None or not _is_of(registry, now, run):
        said = f"{now['version']} of {now['run']}" if now else "nobody"
        same = now is not None and tuple(now["model_sha256"]) == model_hashes(run)
        why = ": the model is the same, the evidence that it was judged on is not" if same else ""
        raise FixInput(
            f"the champion of {sleeve} is {said}, not this run{why}",
            where=str(registry),
            fix="`trainer promote` it first, or publish it as an evaluation",
        )
    _permit(run, now)
    return now


def evidence_hash(run: Path) -> str:
    """SHA-256 of the run's evidence, by which a bundle carries it."""
    return file_hash(run / EVIDENCE)


def _is_of(registry: Path, record: Record, run: Path) -> bool:
    """Whether the verdict of `record` was given on this run's model and on this run's evidence.

    A record of a version that did not name its evidence is asked through its case, which holds it.
    """
    if tuple(record["model_sha256"]) != model_hashes(run):
        return False
    if "evidence_sha256" in record:
        return bool(record["evidence_sha256"] == evidence_hash(run))
    return bool(read_case(registry, record)[1]["evidence"] == read_object(run / EVIDENCE))


@dataclass(frozen=True)
class Audit:
    """Result of a verification: both chains, and the numbers of the records whose verdicts were given under earlier rules.

    Those verdicts are kept as they were given; their cases are as they were stored, and were not judged again.
    """

    records: ChainAnchor
    openings: ChainAnchor
    earlier: tuple[int, ...]


def audit(registry: Path) -> Audit:
    """Verify both chains, every stored case, and that each verdict of the rules of now follows from its case again.

    Raises
    ------
    FixInput
        Something was removed or changed.
    """
    known, opened, earlier = history.read(registry / CHAMPIONS), history.read(registry / OPENINGS), []
    for record in known.records:
        path, case = read_case(registry, record)
        rules = int(record.get("rules", FIRST_RULES))
        if rules > RULES:
            raise FixInput(
                f"a newer program judged record {record['number']}", where=str(registry / CHAMPIONS), fix="Verify it with that program"
            )
        if rules < RULES:
            earlier.append(int(record["number"]))
            continue
        again = judge(Case.of(case, str(path)), parse(record["bars"], PromotionConfig, where=str(path)))
        if again.document() != PromotionVerdict.of(record).document():
            raise FixInput(
                f"the verdict of record {record['number']} does not follow from its case",
                where=str(path),
                fix="Judge it with the program that wrote it",
            )
    return Audit(known.anchor, opened.anchor, tuple(earlier))


def _case(subject: BacktestSubject, request: PromotionRequest, now: Record | None, step: Step) -> Case:
    looks.require_as_made(request.data, request.run, model_hashes(request.run))
    task = task_of_kind(subject.evidence.label)
    challenger = Challenger(
        request.run,
        request.data,
        request.registry,
        subject.evidence,
        challenger_id(request.run),
        request.settings.fingerprint(),
        request.bars.fingerprint(),
    )
    if task.is_traded:
        book = measured(subject, request.data, request.settings, request.code_version, step, unpriced=_unpriced(subject, request.bars))
        stored = book.walk_forward.series
        walked = series_of(stored.sessions, stored.net)
        known = entered(challenger, walked)
    else:
        known = entered(challenger, None)
        walked = trained(known, challenger)
        book = forecasts(subject, walked, request.code_version)
    case = Case(
        evidence=subject.evidence,
        measured=book,
        trials=weighed(known, challenger, walked),
        shadow=_shadow(request),
        champion=_champion(subject, request, now, step),
        searched_under=searched_under(known, challenger),
        waivers=request.waivers,
        word=request.word,
    )
    shown = _opened(subject, request, open_now=is_worth_opening(case, request.bars))
    return replace(case, holdout=shown, seen=_seen(subject, request))


def _unpriced(subject: BacktestSubject, bars: PromotionConfig) -> float | None:
    """What an end without a recorded price costs, where the universe asks for a book that bears it."""
    state = subject.evidence.dataset.survivorship
    return bars.unpriced_end_cost if state == Survivorship.RECONSTRUCTED else None


def _shadow(request: PromotionRequest) -> Shadow | None:
    """Return the shadow's record, if it is of this run's models; raise `FixInput` where no shadow on record wrote it."""
    path, models = request.run / FOLDER / SHADOW, model_hashes(request.run)
    if not path.exists():
        return None
    document, sha256 = read_hashed(path)
    known = parsed(Shadow, document, str(path))
    if known.model_sha256 != models:
        return None
    if sha256 not in looks.wrote(request.data, COMMAND, models):
        raise FixInput(
            "no `trainer shadow --recorded` with this dataset wrote this record",
            where=str(path),
            fix="Hold what the device recorded against the data again: `trainer shadow --recorded FILE`",
        )
    return known


def _champion(subject: BacktestSubject, request: PromotionRequest, now: Record | None, step: Step) -> Rival | None:
    """Return what a challenger is compared with: the champion's net returns, from the case that it was judged on.

    A book that was judged under other settings is measured again where its run is next to the challenger's.
    """
    if now is None:
        return None
    (path, case), run = read_case(request.registry, now), request.run.parent / str(now["run"])
    label, book = parsed(Labelled, case["evidence"], str(path)).label, parsed(Measured, case["measured"], str(path))
    if book.settings not in ("", request.settings.fingerprint()) and (run / EVIDENCE).is_file() and _is_of(request.registry, now, run):
        book = measured(subject_of(run, request.data), request.data, request.settings, request.code_version, step)
    measure = measure_of(label, int(now.get("horizon", 0)), book)
    return Rival(str(now["version"]), book.walk_forward.series, _challengers(subject, request, now), measure)


def _challengers(subject: BacktestSubject, request: PromotionRequest, now: Record) -> int:
    """How many challengers were judged against this champion within the last 252 sessions, this one included."""
    calendar = subject.archive.manifest.calendar
    days = calendar.days
    recent = [day for day in days if day <= request.at.date()][-YEAR_SESSIONS:]
    judged = {
        str(r["challenger"])
        for r in history.read(request.registry / CHAMPIONS).records
        if r["sleeve"] == now["sleeve"]
        and r["event"] != ChampionEvent.ROLLED_BACK
        and r["instead_of"] == now["version"]
        and (not recent or datetime.fromisoformat(r["at"]).date() >= recent[0])
    }
    return len(judged | {challenger_id(request.run)})


def _opened(subject: BacktestSubject, request: PromotionRequest, *, open_now: bool) -> SealedBook | None:
    """What the seal showed for this challenger: read from the log, or opened now, and then logged before and after."""
    path, challenger = request.registry / OPENINGS, challenger_id(request.run)
    settings = request.settings.fingerprint()
    for record in history.read(path).records:
        # Earlier programs kept no series of what they showed: such a seal is opened again, which counts.
        if _shows(record, challenger, subject.evidence.holdout):
            if record["settings"] != settings:
                raise FixInput(
                    "the seal was opened for this challenger under other portfolio settings",
                    where=str(path),
                    fix="Judge it under those, or train another challenger",
                )
            return parsed(SealedBook, record["result"], str(path))
    if not open_now:
        return None
    head = {
        "challenger": challenger,
        "sleeve": subject.evidence.sleeve,
        "run": request.run.name,
        "holdout": to_json(subject.evidence.holdout),
        "snapshot_id": subject.evidence.snapshot_id,
        "settings": settings,
        "at": request.at.isoformat(),
        "bars_hash": request.bars.fingerprint(),
        "looks": _looks(subject, request),
    }
    history.append(path, {**head, "kind": "opened"})
    found = open_holdout(subject, request.data, request.settings)
    history.append(path, {**head, "kind": "result", "result": to_json(found)})
    return found


def _seen(subject: BacktestSubject, request: PromotionRequest) -> Sights:
    """How often the sealed sessions were seen before this challenger's own opening of them."""
    mine, before, sights = challenger_id(request.run), 0, _looks(subject, request)
    sleeve, holdout = subject.evidence.sleeve, subject.evidence.holdout
    for record in history.read(request.registry / OPENINGS).records:
        if holdout is None:
            break
        if _shows(record, mine, holdout):
            before -= 1  # the opening that this result is of
            sights = int(record.get("looks", 0))
            break
        before += _wears(record, sleeve, holdout)
    return Sights(max(before, 0), sights)


def _shows(record: Record, challenger: str, holdout: Holdout | None) -> bool:
    """Whether a record is the result of this very seal for a challenger: one model may be judged on a seal that was longer since."""
    is_result = record["kind"] == "result" and record["challenger"] == challenger and "series" in record["result"]
    return is_result and holdout is not None and (record["holdout"]["first"], record["holdout"]["last"]) == (holdout.first, holdout.last)


def _looks(subject: BacktestSubject, request: PromotionRequest) -> int:
    """How many other models were shown on the sealed sessions."""
    holdout, own = subject.evidence.holdout, model_hashes(request.run)
    if holdout is None:
        return 0
    return looks.seen(request.data, subject.evidence.sleeve, holdout.first, holdout.last, own=own, more=(request.registry,))


def openings(registry: Path, sleeve: str, holdout: Holdout | None) -> int:
    """How often any challenger's seal over sessions of this holdout was opened: each opening wears it out."""
    if holdout is None:
        return 0
    return sum(_wears(record, sleeve, holdout) for record in history.read(registry / OPENINGS).records)


def _wears(record: Record, sleeve: str, holdout: Holdout) -> bool:
    """Whether a record is of an opening of sessions that this holdout has too."""
    theirs = record["holdout"]
    overlaps = theirs["first"] <= holdout.last and theirs["last"] >= holdout.first
    return record["kind"] == "opened" and record["sleeve"] == sleeve and bool(overlaps)


def _record(subject: BacktestSubject, request: PromotionRequest, case: Case, verdict: PromotionVerdict, known: Chain) -> Record:
    evidence, sleeve = subject.evidence, subject.evidence.sleeve
    now = history.champion(known, sleeve)
    book = case.measured.walk_forward
    hashes = {"spec_hash": evidence.spec_hash, "config_hash": evidence.config_hash}
    version = history.next_version(known, sleeve, **hashes, horizon=evidence.horizon)
    return {
        **verdict.document(),
        "spec_hash": evidence.spec_hash,
        "horizon": evidence.horizon,
        "config_hash": evidence.config_hash,
        "event": str(ChampionEvent.PROMOTED if verdict.is_promoted else ChampionEvent.REFUSED),
        "sleeve": sleeve,
        "version": version if verdict.is_promoted else None,
        "run": request.run.name,
        "at": request.at.isoformat(),
        "model_sha256": list(model_hashes(request.run)),
        "evidence_sha256": evidence_hash(request.run),
        "challenger": challenger_id(request.run),
        "snapshot_id": evidence.snapshot_id,
        "code_version": evidence.code_version,
        "judged_by": request.code_version,
        "net_sharpe": finite(book.net.annual_sharpe) if book.net else None,
        "first": book.first,
        "last": book.last,
        "bars": request.bars.model_dump(mode="json"),
        "settings": request.settings.fingerprint(),
        "waivers": to_json(case.waivers),
        "word": to_json(case.word),
        "rules": RULES,
        "openings": openings(request.registry, sleeve, evidence.holdout),
        "instead_of": now["version"] if now else None,
        "why": "every bar is met" if verdict.is_promoted else verdict.refusal,
    }


def _added(registry: Path, record: Record) -> Record:
    path = registry / CHAMPIONS
    history.append(path, record)
    return history.read(path).records[-1]


def _permit(run: Path, record: Record) -> None:
    """Write what `trainer publish --role champion` asks for."""
    permission = {"verdict": "promoted", "model_sha256": list(record["model_sha256"]), "record": dict(record)}
    write_atomic(run / PERMISSION, canonical_json(permission))
