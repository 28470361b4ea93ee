"""`trainer policy`: learns a sizing policy from a run's walk-forward book, judges it twice, and writes it with its verdicts.

Invariants
----------
1. No policy is judged on a session that it learned from, and none reads behind the run's seal: both use the walk-forward
   scores alone.
2. The order-exact engine has the last word: the same bound, drawdown and turnover as the replay, of the orders that a
   device would have sent from the first judged session on.
3. A draw of a device is valued as a replay values it: from the level of the session before to its own, of the book that the
   device held, from the open of its session to the next one, by the dataset's own opens and costs. Where the session
   before drew nothing, or the dataset lacks a name of the book or the next open, it says nothing and is left out.
4. A question is on the dataset's record before it is judged, and is counted after that, over all records that count together
   (`trainer/runs/looks.py`): of those that are judged at once none is the only one. One whose process died was asked, and
   counts once when it is asked again. Each further question of a sleeve makes the bound stricter.
5. What is written is on the record by its hash before anybody sees it.
"""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from portfolio.policy.sizing import GRID, STATE, SizingOn, places_of
from signals.errors import FixInput, TooLittleHistory
from signals.files import sha256_of
from signals.scoring.shadow_logs import FIX, SizeDecision, read_size_log
from signals.text.documents import from_json, to_json
from trainer.backtest.archive import Archive
from trainer.backtest.engine import Course, Progress
from trainer.backtest.scored import MODEL
from trainer.backtest.subject import WALK_FORWARD, BacktestSubject, BookSettings, RunScores, subject_of, trade
from trainer.backtest.weights import WeightPath, book_env, sized_path
from trainer.off_policy.judged import POLICY_FILE, JudgedPolicy, LinearValues, fit_named
from trainer.off_policy.logs import LoggedDecisions, exported
from trainer.off_policy.market_env import MarketEnv
from trainer.off_policy.sizing import (
    MARGIN,
    DecisionsVerdict,
    SizedPath,
    SizingVerdict,
    WalkForwardSizing,
    judge_decisions,
    judge_sizing,
    judged_replay,
    level_of_try,
    walk_forward_sizing,
)
from trainer.runs import looks
from trainer.runs.run_folder import canonical_json, file_hash, refuse_existing, write_run
from trainer.search.trial_log import trial_hash


@dataclass(frozen=True)
class PolicyRequest:
    """What is learned and judged.

    Attributes
    ----------
    blocks : int
        Of the walk-forward: each but the first is judged by a policy of the sessions before it.
    margin : float
        That the bound of the gain must be above, of equity a year.
    decisions : Path or None
        Logs of devices, of multipliers that were drawn at random.
    registry : Path or None
        Its questions count too.
    """

    run: Path
    data: Path
    to: Path
    settings: BookSettings
    learner: str
    seed: int
    blocks: int
    code_version: str
    decisions: Path | None = None
    margin: float = MARGIN
    registry: Path | None = None


@dataclass(frozen=True, eq=False)
class DrawnSizes:
    """Drawn multipliers of devices, whose features are the level before and the state; `sha256` is of all their files."""

    log: LoggedDecisions
    sha256: str
    is_rehearsal: bool


def judged_policy(request: PolicyRequest, step: Progress = lambda day: None) -> JudgedPolicy:
    """Learn, judge, record and write a policy; return its document.

    Raises
    ------
    FixInput
        The folder exists, there is no such learner, the run is not what its training wrote, its book is flat, or the log of
        decisions cannot be used.
    TooLittleHistory
        Too few sessions to judge.
    """
    refuse_existing(request.to)
    fit = fit_named(request.learner, request.seed)
    subject = subject_of(request.run, request.data)
    model = file_hash(request.run / MODEL)
    looks.require_as_made(request.data, request.run, (model,))
    scores = subject.scores(WALK_FORWARD)
    given = None if request.decisions is None else decisions_of(request.decisions, subject.archive, request.settings.equity_usd)
    whole, env = _book(subject, scores, request.settings)
    evidence, settings = subject.evidence, request.settings
    trial = trial_hash(_question(request, subject, None if given is None else given.sha256))
    policies = walk_forward_sizing(env, fit, request.blocks)
    look = looks.Look(looks.POLICY, evidence.sleeve, trial, str(whole.sessions[0]), str(whole.sessions[-1]))
    looks.record(request.data, look)
    more = () if request.registry is None else (request.registry,)
    tries = len(looks.asked(request.data, looks.POLICY, evidence.sleeve, more=more))
    level = level_of_try(tries)
    made = JudgedPolicy(
        learner=request.learner,
        seed=request.seed,
        blocks=request.blocks,
        sleeve=evidence.sleeve,
        run=request.run.name,
        config_hash=evidence.config_hash,
        model_sha256=model,
        scores_sha256=scores.source,
        dataset=subject.archive.manifest.name,
        calendar=subject.archive.manifest.calendar.name,
        snapshot_id=subject.archive.manifest.snapshot_id,
        settings=settings.fingerprint(),
        code_version=request.code_version,
        first=whole.sessions[policies.starts[0]],
        last=whole.sessions[-1],
        trial=trial,
        tries=tries,
        replay=judged_replay(env, policies, margin=request.margin, level=level),
        orders=_by_orders(request, subject, scores, (whole, policies), level, step),
        values=from_json(LinearValues, to_json(fit(env))),
        is_rehearsal=settings.portfolio.fixed_ic is not None,
        decisions=None if given is None else _by_decisions(request, given, subject, (whole, policies), level),
    )
    content = canonical_json(made)
    looks.record(request.data, replace(look, made=sha256_of(content)))
    write_run(request.to, {POLICY_FILE: content})
    return made


def path_of(course: Course) -> SizedPath:
    """Log returns after all costs and one-way turnover of an order-exact course; a ruined one cannot be judged."""
    if course.ruined is not None:
        raise FixInput("the book is ruined", where=str(course.ruined), fix="Judge a book that survives its history")
    values = [float(course.start_equity), *(float(day.real_equity) for day in course.days)]
    turnover = np.array([float(day.traded / day.equity) / 2.0 for day in course.days])
    return SizedPath(np.diff(np.log(values)), turnover, np.array([day.is_coarse for day in course.days]))


def decisions_of(path: Path, archive: Archive, equity_usd: float) -> DrawnSizes:
    """Read `--decisions`, a device's log of draws or a folder of them, and value each draw.

    Raises
    ------
    FixInput
        Nothing there is such a log, one was changed, or two know different draws of one session.
    TooLittleHistory
        No draw has a value.
    """
    contents = exported(path, "sizes")
    logs = [read_size_log(content, where=file) for file, content in contents.items()]
    by_device: dict[str, dict[date, SizeDecision]] = {}
    for log in logs:
        if (log.grid, log.names) != (GRID, STATE):
            fix = "Use the version that the device has"
            raise FixInput("the log is of another grid or state than this version's", where=str(path), fix=fix)
        for one in log.decisions:  # each draw once: an export of before may be next to one of today
            if by_device.setdefault(one.seed, {}).setdefault(one.asof, one) != one:
                raise FixInput(f"two logs know different draws of {one.asof}", where=str(path), fix=FIX)
    rows = [row for own in by_device.values() for row in _valued(list(own.values()), archive, equity_usd)]
    if not rows:
        raise TooLittleHistory("no draw has a value", where=str(path), fix="Draw in sessions that follow one another; ingest their bars")
    return DrawnSizes(
        LoggedDecisions.of_rows(rows, len(GRID)),
        sha256_of("".join(sha256_of(content) for content in contents.values()).encode()),
        any(log.is_rehearsal for log in logs),
    )


def _book(subject: BacktestSubject, scores: RunScores, settings: BookSettings) -> tuple[WeightPath, MarketEnv]:
    horizon = subject.evidence.horizon
    if not scores.sessions:
        raise FixInput("the run has no walk-forward scores", where=str(subject.run), fix="Train again on more sessions")
    whole = sized_path(
        subject.archive, scores.values[0], settings.portfolio, subject.ic, horizon, lambda asof: None, equity_usd=settings.equity_usd
    )
    if whole.env is None or not whole.gross.any():
        raise FixInput("the run's book is flat: there is nothing to size", where=str(subject.run), fix="See its report for why")
    return whole, whole.env


def _question(request: PolicyRequest, subject: BacktestSubject, decisions: str | None) -> dict[str, object]:
    """What is asked, whatever the version of the data and the training that repeats it; another seed or log is another question."""
    return {
        "command": looks.POLICY,
        "sleeve": subject.evidence.sleeve,
        "config_hash": subject.evidence.config_hash,
        "trained_with": subject.evidence.seed,
        "decisions": decisions,
        **{name: getattr(request, name) for name in ("learner", "seed", "blocks", "margin")},
        "settings": request.settings.fingerprint(),
    }


def _by_orders(
    request: PolicyRequest,
    subject: BacktestSubject,
    scores: RunScores,
    found: tuple[WeightPath, WalkForwardSizing],
    level: float,
    step: Progress,
) -> SizingVerdict:
    """Trade the judged sessions twice, with the policies and without, each from an empty account."""
    whole, policies = found
    calendar, days = subject.archive.manifest.calendar, list(whole.sessions[policies.starts[0] :])
    row = {calendar.previous(day): place for place, day in enumerate(whole.sessions)}
    own: tuple[SizingOn | None, ...] = (lambda asof: policies.at(row[asof]), None)
    plain = subject.policy(request.settings, request.code_version)
    courses = [trade(subject.archive, replace(plain, sizing_on=one), request.settings, days, scores.on, step) for one in own]
    return judge_sizing(*(path_of(course) for course in courses), margin=request.margin, level=level)


def _by_decisions(
    request: PolicyRequest, given: DrawnSizes, subject: BacktestSubject, found: tuple[WeightPath, WalkForwardSizing], level: float
) -> DecisionsVerdict:
    """Judge the last policy by what was decided since its block began, of which it has learned nothing."""
    whole, policies = found
    since = subject.archive.manifest.calendar.previous(whole.sessions[policies.starts[-1]])
    unseen = given.log.of(given.log.sessions >= np.datetime64(since, "D").astype(np.int64))
    read = [0, *(1 + place for place in places_of(policies.policies[-1].names))]
    unseen = replace(unseen, features=unseen.features[:, :, read])
    return judge_decisions(policies.policies[-1], unseen, margin=request.margin, level=level, is_rehearsal=given.is_rehearsal)


def _valued(decisions: list[SizeDecision], archive: Archive, equity_usd: float) -> list[tuple[date, list[float], int, float, float]]:
    """Return asof, features, level, reward and propensity of each draw of one device that has a value."""
    calendar, sessions = archive.manifest.calendar, archive.whole.sessions
    place = {day: row for row, day in enumerate(sessions.astype(object).tolist())}
    column = {security: number for number, security in enumerate(archive.securities)}
    books: dict[int, tuple[SizeDecision, dict[int | None, float]]] = {}
    for one in decisions:
        names = {name: column.get(security) for security, name in archive.rows.symbols_on(one.asof).items()}
        renamed = {a.new_symbol: a.symbol for a in archive.effective_on(one.session) if a.new_symbol}
        own = {names.get(renamed.get(name, name)): weight for name, weight in one.book.items()}
        if one.asof in place and calendar.next(one.asof) == one.session and None not in own:
            books[place[one.asof]] = (one, own)
    first, last = min(books, default=0), min(max(books, default=0) + 1, len(sessions) - 2)
    if last - first < 2:
        return []
    weights, states = np.zeros((last - first + 1, len(column))), np.zeros((last - first + 1, len(STATE)))
    for row, (one, own) in books.items():
        if row <= last:
            weights[row - first, [number for number in own if number is not None]] = list(own.values())
            states[row - first] = one.state
    rewards = book_env(archive, first, weights, states, equity_usd).rewards()
    found = []
    for row, (one, _) in sorted(books.items()):
        earlier = books.get(row - 1)
        if earlier is not None and earlier[0].multiplier == one.before and row - first < len(rewards):
            before, level = GRID.index(one.before), GRID.index(one.multiplier)
            found.append((one.asof, [before, *one.state], level, float(rewards[row - first, before, level]), one.propensity))
    return found
