"""The stacking pipeline: read the runs, validate the stack, judge it, write the folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from portfolio.risk.hrp import budgets
from signals.errors import FixInput
from signals.files import sha256_of
from signals.market.bars import Days, Floats, Opens
from signals.market.dataset import load_actions, load_bars, read_manifest
from signals.scoring.scores import shrunk_ic
from signals.storage.arrow import parquet_of
from trainer.backtest.document import sharpe_interval
from trainer.learners.export import export
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig
from trainer.reports import page
from trainer.reports.canvas import ACCENT, SECOND, new_axes, png
from trainer.reports.page import number
from trainer.reports.plots import running_sums
from trainer.runs import looks
from trainer.runs.run_folder import canonical_json, refuse_existing, write_run
from trainer.search import trial_log
from trainer.search.counting import counting, sleeves_of
from trainer.search.trial_log import STACK as COMMAND
from trainer.search.trial_log import OneTrial, Series, begin, end, trial_hash
from trainer.stacking.budgets import BudgetStability, budget_stability
from trainer.stacking.members import Boosted, ConfiguredCombiner, Members, RidgeCombiner, Trees, Weights, device_weights, read_members
from trainer.stacking.verdict import STACK, Combiner, Condition, ScoreRecord, StackProof, annual, best_of, prove, records, rows_of
from trainer.validation.deciles import next_opens
from trainer.validation.ic import Mean

FORMAT = "trademl-stack-1"


@dataclass(frozen=True)
class StackedMember:
    """The run of one member."""

    name: str
    sleeve: str
    snapshot_id: str
    config_hash: str
    code_version: str


@dataclass(frozen=True)
class RecordFigures:
    """Performance of one set of scores; Sharpe ratios are annual."""

    ic: Mean
    forward_ic: Mean
    tries: int
    sharpe: float | None
    sharpe_interval: tuple[float, float]
    sessions: int


@dataclass(frozen=True)
class StackFigures:
    """The whole document.

    Attributes
    ----------
    weights : mapping of member to weight, or None
        Of the whole set of members; None for trees, as each of `weights_by_group`.
    device_weights : mapping of sleeve to weight
        With which a device counts the sleeves as they were learned; empty of trees, or of two runs of one sleeve.
    budgets : mapping of member to share
        Of the risk, by hierarchical risk parity over the members' walk-forward books: a number beside the weights, which decides nothing.
    """

    learner: str
    seed: int
    code_version: str
    members: tuple[StackedMember, ...]
    groups: int
    horizon: int
    sessions: int
    first: date
    last: date
    weights: Mapping[str, float] | None
    device_weights: Mapping[str, float]
    weights_by_group: tuple[Mapping[str, float] | None, ...]
    records: Mapping[str, RecordFigures]
    best: str
    rows: tuple[Condition, ...]
    promotable: bool
    format: str = FORMAT
    budgets: Mapping[str, float] = field(default_factory=dict)
    stability: BudgetStability = field(default_factory=BudgetStability)


CAPTIONS = {
    "cumulative_ic.png": "Cumulative out-of-fold rank IC of the stack, of each member and of the configured average.",
    "weights.png": "What the stack learned for each group of sessions: weights that jump are weights that fit noise.",
}
TITLE = "Cumulative rank IC, out of fold"
GREYS = ("#7a9cb3", "#b0b0b0", "#8f8f6a", "#a58aa8", "#6fa08b")


def report_files(known: StackFigures, sessions: Days, series: Mapping[str, Floats]) -> dict[str, bytes]:
    """Render everything: relative path -> content."""
    has_weights = known.weights is not None
    captions = CAPTIONS if has_weights else {"cumulative_ic.png": CAPTIONS["cumulative_ic.png"]}
    shown = page.Page("Stack of " + ", ".join(m.name for m in known.members), tuple(lines_of(known)), tuple(warnings_of(known)), captions)
    pictures = {"cumulative_ic.png": running_sums(TITLE, "sum of session ICs", sessions, series, bold="stack")}
    if has_weights:
        pictures["weights.png"] = weights([learned for learned in known.weights_by_group if learned is not None])
    return page.files(shown, pictures)


def lines_of(known: StackFigures) -> list[tuple[str, str]]:
    """(what, figure) lines of the report, which the command prints too."""
    lines = [("Verdict", "promotable" if known.promotable else "not promotable"), ("Best member", known.best)]
    if known.weights is not None:
        lines.append(("Weights", ", ".join(f"{name} {weight:.3f}" for name, weight in known.weights.items())))
    if known.budgets:
        stable = known.stability
        reach = {name: f" ({stable.low[name]:.3f} to {stable.high[name]:.3f})" for name in stable.low}
        lines.append(("Risk budgets (HRP)", ", ".join(f"{name} {share:.3f}{reach.get(name, '')}" for name, share in known.budgets.items())))
        moved = (
            f"{number(stable.resampled, '.1%')} by a resampled history, {number(stable.turnover, '.1%')} a month ({stable.months} months)"
        )
        lines.append(("Risk budgets that move", moved))
    for name, record in known.records.items():
        ic, forward = record.ic, record.forward_ic
        lines.append(
            (
                f"{name}: out-of-fold IC, walk-forward IC, Sharpe and its 95 % interval",
                f"{number(ic.mean, '+.4f')} (t {number(ic.t, '+.2f')}), {number(forward.mean, '+.4f')} "
                f"(t {number(forward.t, '+.2f')}), {number(record.sharpe, '+.2f')} "
                f"({' to '.join(number(end, '+.2f') for end in record.sharpe_interval)})",
            )
        )
    for row in known.rows:
        against = f" against {row.best:.4f}" if row.best is not None else ""
        mark = "ok" if row.passed else "MISSED"
        lines.append((f"{mark}: {row.what}", f"{number(row.stack, '.4f')}{against}"))
    return lines


def warnings_of(known: StackFigures) -> list[str]:
    """Say why the stack may not be used."""
    missed = [row.what for row in known.rows if not row.passed]
    return [f"not better than {known.best}: {', '.join(missed)}"] if missed else []


def weights(by_group: Sequence[Mapping[str, float]]) -> bytes:
    """Stacked bars of the weights learned for each group."""
    axes = new_axes("Weights learned for each group", "group of sessions", "weight", height=3.0)
    base = np.zeros(len(by_group))
    for name, colour in zip(by_group[0], (ACCENT, SECOND, *GREYS) * len(by_group[0]), strict=False):
        heights = np.array([learned[name] for learned in by_group])
        axes.bar(range(1, len(by_group) + 1), heights, bottom=base, color=colour, width=0.7, label=name)
        base = base + heights
    axes.set_xticks(range(1, len(by_group) + 1))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return png(axes)


TREES = LightGbmConfig(trees=60, num_leaves=7, min_data_in_leaf=2000, feature_fraction=1.0)
SLEEVES_HEADER = """# Weights that `trainer stack` learned, for the section `sleeves` of a device's config.yml. With the IC that each bundle
# states they count the sleeves as the stack was judged; a sleeve without scores leaves its share unallocated.
"""


class StackLearner(StrEnum):
    """Learner of a stack."""

    RIDGE = "ridge"
    LIGHTGBM = "lightgbm"


@dataclass(frozen=True)
class StackRequest:
    """Members and settings of a stack.

    Attributes
    ----------
    data : Path
        The curated dataset that the runs were trained on, for the returns of the books.
    average : mapping of sleeve to weight
        Of `configs/sleeves.yml`: what is used where nothing could be learned.
    """

    runs: tuple[Path, ...]
    data: Path
    to: Path
    average: Mapping[str, float]
    learner: StackLearner
    seed: int
    code_version: str


def stack(request: StackRequest) -> StackFigures:
    """Stack the runs, judge the stack, write the folder and return its document.

    Raises
    ------
    FixInput
        The folder exists, or the runs are not fold-consistent, or not what their trainings wrote.
    TooLittleHistory
        Too few groups or sessions.
    """
    refuse_existing(request.to)
    members = read_members(request.runs, request.data)
    question = _question(request, members)
    begin(request.data, question)
    weights = tuple(float(request.average.get(member.sleeve, 1.0)) for member in members.members)
    combiner: Combiner = RidgeCombiner(weights)
    if request.learner is StackLearner.LIGHTGBM:
        combiner = Boosted(LightGbm(TREES, request.seed), members.names)
    proof = prove(members, combiner)
    average = prove(members, ConfiguredCombiner(weights, members.horizon))
    following, counts = _following(request.data, members), _counts(request.data, members, question)
    found = records(members, proof, average, following, counts)
    walked = members.sessions[np.isfinite(proof.forward).any(axis=1)]
    end(request.data, question, Series(walked[members.horizon - 1 :], found[STACK].net))
    rows = rows_of(found, members.horizon)
    known = _document(request, members, proof, found, rows)
    content = canonical_json(known)
    _record(request.data, members, sha256_of(content))
    write_run(
        request.to,
        {
            "stack.json": content,
            "oof.parquet": _scores(members, proof.out_of_fold),
            "walk_forward.parquet": _scores(members, proof.forward),
            **_usable(members, proof.whole, known.promotable),
            **report_files(known, members.sessions, {name: record.series for name, record in found.items()}),
        },
    )
    return known


def _record(data: Path, members: Members, made: str) -> None:
    """Record what was shown, to the end of the labels, for each sleeve, and the hash of the verdict, which `publish-stack` asks for."""
    first, last, manifest = members.sessions[0], members.sessions[-1].astype(object), read_manifest(data)
    shown = manifest.calendar.between(last, manifest.last)[: members.horizon + 2][-1]
    for sleeve in sorted({member.sleeve for member in members.members}):
        looks.record(data, looks.Look(looks.STACK, sleeve, made, str(first), str(shown), made))


def _question(request: StackRequest, members: Members) -> OneTrial:
    """A stack is a trial of every sleeve in it."""
    identity = {
        "command": COMMAND,
        "sleeves": sorted({member.sleeve for member in members.members}),
        "first": str(members.sessions[0]),
        "last": str(members.sessions[-1]),
        "members": [
            {"trial": member.evidence.trials.trial, "config_hash": member.evidence.config_hash, "snapshot_id": member.evidence.snapshot_id}
            for member in members.members
        ],
        "average": dict(request.average),
        "learner": str(request.learner),
        "seed": request.seed,
    }
    return OneTrial(identity, trial_hash(identity))


def _counts(data: Path, members: Members, question: OneTrial) -> dict[str, int]:
    """Trials on record for each member's sleeve, and for all of them together."""
    history, sleeves = trial_log.known(data), sleeves_of(question.identity)
    first, last = str(question.identity["first"]), str(question.identity["last"])
    own = {m.name: counting(history, (m.sleeve,), first, last).tries for m in members.members}
    return {**own, STACK: counting(history, sleeves, first, last).tries}


def _following(data: Path, members: Members) -> Opens:
    """What follows every session, on the members' axes."""
    manifest = read_manifest(data)
    bars = load_bars(data, manifest, manifest.first, manifest.last)
    opens = next_opens(bars, load_actions(data, manifest))
    rows = np.searchsorted(bars.sessions, members.sessions)
    columns = np.searchsorted(np.array(bars.symbols), np.array(members.symbols))
    known = np.array(bars.symbols)[np.minimum(columns, len(bars.symbols) - 1)] == np.array(members.symbols)
    inside = bars.sessions[np.minimum(rows, len(bars.sessions) - 1)] == members.sessions
    if not known.all() or not inside.all():
        raise FixInput(
            "the dataset lacks names or sessions of the runs", where="--data", fix="Name the dataset that the runs were trained on"
        )
    return opens.at(rows, columns)


def _document(
    request: StackRequest, members: Members, proof: StackProof, found: Mapping[str, ScoreRecord], rows: tuple[Condition, ...]
) -> StackFigures:
    books = {name: found[name].net for name in members.names}
    return StackFigures(
        learner=str(request.learner),
        seed=request.seed,
        code_version=request.code_version,
        members=tuple(
            StackedMember(one.name, one.sleeve, one.evidence.snapshot_id, one.evidence.config_hash, one.evidence.code_version)
            for one in members.members
        ),
        groups=members.groups,
        horizon=members.horizon,
        sessions=len(members.sessions),
        first=members.sessions[0].astype(object),
        last=members.sessions[-1].astype(object),
        weights=_weights(members, proof.whole),
        device_weights=_device_weights(members, proof.whole),
        weights_by_group=tuple(_weights(members, learned) for learned in proof.by_group),
        records={
            name: RecordFigures(
                record.ic, record.forward_ic, record.tries, annual(record.net), sharpe_interval(record.net), len(record.net)
            )
            for name, record in found.items()
        },
        best=best_of(found),
        budgets=budgets(books),
        stability=budget_stability(books),
        rows=rows,
        promotable=all(row.passed for row in rows),
    )


def _weights(members: Members, learned: Weights | Trees) -> dict[str, float] | None:
    """Weights of the whole set of members; None for trees."""
    if isinstance(learned, Trees):
        return None
    everyone = learned.learned.get((True,) * len(members.members), learned.average / learned.average.sum())
    return {name: round(float(weight), 6) for name, weight in zip(members.names, everyone, strict=True)}


def _usable(members: Members, learned: Weights | Trees, promotable: bool) -> dict[str, bytes]:
    """What tomorrow would use: the weights of a device's sleeves, once the stack has earned it, or the exported trees."""
    if isinstance(learned, Trees):
        known = np.array([member.out_of_fold for member in members.members])
        rows = np.ascontiguousarray(known[:, np.isfinite(known).any(axis=0)].T, dtype=np.float32)
        return {"model.onnx": export(learned.model, rows).onnx, "model.txt": learned.model.to_text().encode()}
    used = _device_weights(members, learned)
    if not promotable or not used:
        return {}
    return {"sleeves.yml": (SLEEVES_HEADER + yaml.safe_dump(used, sort_keys=False)).encode()}


def _device_weights(members: Members, learned: Weights | Trees) -> dict[str, float]:
    """Weights with which a device counts the sleeves as they were learned; none of trees, or of two runs of one sleeve."""
    one_each = len({member.sleeve for member in members.members}) == len(members.members)
    if isinstance(learned, Trees) or not one_each:
        return {}
    said = [member.evidence.forward_ic for member in members.members]
    everyone = np.array(list((_weights(members, learned) or {}).values()))
    counted = device_weights(everyone, [shrunk_ic(ic.mean, ic.t) if np.isfinite(ic.t) else 0.0 for ic in said])
    return {name: round(float(weight), 6) for name, weight in zip(members.names, counted, strict=True) if weight > 0}


def _scores(members: Members, scores: Floats) -> bytes:
    rows, columns = np.nonzero(np.isfinite(scores))
    table = pa.table(
        {
            "session": pa.array(members.sessions[rows]),
            "symbol": pa.array(np.array(members.symbols, dtype=object)[columns], type=pa.string()),
            "score": scores[rows, columns].astype(np.float32),
            "label": members.label[rows, columns],
        }
    )
    return parquet_of(table, ["session", "symbol"])
