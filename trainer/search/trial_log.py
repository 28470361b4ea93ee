r"""The trial log of a dataset, `trials.jsonl`, append-only and hash-chained, and one trial as a record of it.

1. It is a chain with its anchor (`trainer/runs/chain.py`): what was changed, taken out, put in or cut off is refused.
2. A trial is written when it starts and again when it ends: one whose process died is there, and counts.
3. A study is one question: a search with all its trials, or one training, comparison, stack or judged book
   (by its key, below). The same question with the same answer adds nothing.
4. Versions of a dataset share its folder, and datasets next to it are read with it (`known`). A record that grew
   elsewhere, in a copy or on another machine, is merged (`merge`): each of its records once, with the hash that its
   line had there, so that evidence that names that line finds it.

A trial is known by its key, the hash of what can change its outcome: the sleeve, its features, the version of the data,
the names, the open sessions, the recipe with its parameters, the seed and the device. The run folder, the command, the
space that a search drew from and other learners' sections are no part of it. So a search's trial that is trained
afterwards, compared or trained again is the same trial, and counts once.
"""

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from signals.errors import FixInput
from signals.files import sha256_of
from signals.market.bars import Days, Floats
from signals.market.dataset import manifest_path
from signals.sleeves.events import DAILY_EVENTS
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice
from trainer.learners.table import LEARNERS
from trainer.recipes.base import Number, Recipe, RecipeConfig
from trainer.runs import chain
from trainer.runs.chain import FIRST, PREVIOUS, Chain, ChainAnchor, Record, places
from trainer.runs.run_folder import canonical_json
from trainer.samples.samples import Samples
from trainer.samples.source import TrainingBars

Parameters = dict[str, Number]


class TrialOutcome(StrEnum):
    """Outcome of a trial. `interrupted`: the process died before it recorded one."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, eq=False)
class Trial:
    """A trial of one study.

    Attributes
    ----------
    parameters : mapping
        Of the learner, as drawn.
    net : float64, shape (n,)
        Net session returns of its walk-forward decile book, or its study's metric by session: all of them when completed,
        the first ones when pruned, none when it failed at once.
    reason : str
        Why it ended early; empty when completed.
    key, recipe : str
        What was tried (`trainer/search/trial_log.py`), and the recipe and seed in it only.
    days : datetime64[D], shape (n,)
        Sessions of `net`.
    reported : mapping of fold to what the series was worth
        What the sampler was shown on the way.
    """

    number: int
    state: TrialOutcome
    parameters: Parameters
    net: Floats
    reason: str = ""
    key: str = ""
    recipe: str = ""
    days: Days = field(default_factory=lambda: np.zeros(0, dtype="datetime64[D]"))
    reported: Mapping[int, float] = field(default_factory=dict)

    @property
    def sharpe(self) -> float:
        """Sharpe ratio per session; NaN without two different returns."""
        return sharpe_of(self.net)


def sharpe_of(net: Floats) -> float:
    """Sharpe ratio per session, ddof 1; NaN without two different returns."""
    if len(net) < 2 or float(np.ptp(net)) == 0.0:
        return float("nan")
    return float(net.mean() / net.std(ddof=1))


def packed(net: Floats) -> str:
    """Returns as text that gives back every bit."""
    return base64.b64encode(net.astype("<f8").tobytes()).decode()


def unpacked(text: str) -> Floats:
    """Returns that `packed` wrote; raise `ValueError` for anything else."""
    net = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)
    if not bool(np.isfinite(net).all()):
        raise ValueError("returns that are not finite")
    return net


def packed_days(days: Days) -> str:
    """Sessions as text, four bytes each."""
    return base64.b64encode(days.astype("datetime64[D]").astype("<i8").astype("<i4").tobytes()).decode()


def unpacked_days(text: str) -> Days:
    """Sessions that `packed_days` wrote."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<i4").astype("datetime64[D]")


def ended(trial: Trial) -> dict[str, object]:
    """The record of an ended trial; its sessions are the study's unless it has its own."""
    own = {"days": packed_days(trial.days)} if len(trial.days) else {}
    shown = {"reported": {str(fold): value for fold, value in trial.reported.items()}} if trial.reported else {}
    return {
        "kind": "ended",
        "number": trial.number,
        "state": str(trial.state),
        "parameters": trial.parameters,
        "net": packed(trial.net),
        "reason": trial.reason,
        **own,
        **shown,
    }


FILE = "trials.jsonl"
FIX = "Restore the file from a backup; trials that were run cannot be taken back"
ORIGINS = "origins"  # of a merged record: hashes of its line in the files that it came through
MERGED = "merged"  # a record that was known here already, under another hash


@dataclass(frozen=True, eq=False)
class Study:
    """One study's trials and baselines, in order of their numbers.

    `identity` says what was asked; `sessions` are the ISO dates of a search's returns.
    """

    identity: Mapping[str, object]
    sessions: tuple[str, ...]
    trials: tuple[Trial, ...]
    baselines: Mapping[str, Floats]

    @property
    def metric(self) -> str:
        """Metric that its series are of (`trainer/search/arena.py`); empty for a book's returns."""
        return str(self.identity.get("metric", ""))

    @property
    def days(self) -> Days:
        """The sessions as dates."""
        return np.array(self.sessions, dtype="datetime64[D]")


@dataclass(frozen=True, eq=False)
class TrialHistory:
    """All of a file, or of several: `anchor` is the first one's, `heads` are the hashes that any line ever had."""

    anchor: ChainAnchor
    studies: Mapping[str, Study]
    heads: frozenset[str]

    @property
    def tries(self) -> int:
        """Trials started, of every study, whatever became of them."""
        return sum(len(study.trials) for study in self.studies.values())

    def require(self, study: str) -> None:
        """Raise `FixInput` where a recipe carries a study whose trials are not on record; none is required."""
        if study and study not in self.studies:
            raise FixInput(
                f"the recipe came from the search {study}, whose trials are not on record next to this dataset",
                fix="Merge the record of the dataset that was searched: `trainer trials --data D --merge FOLDER`",
            )


def read(folder: Path) -> TrialHistory:
    """Read and verify the file of one folder; a folder without one has an empty history.

    Raises
    ------
    FixInput
        The chain is broken, cut, or holds what is no trial.
    """
    return _history([_chain(folder / FILE)], str(folder / FILE))


def known(data: Path, *more: Path) -> TrialHistory:
    """Return what is on record of a dataset and of those next to it in the same folder, and in `more` folders."""
    return _history([_chain(place / FILE) for place in places(data, *more)], str(data / FILE))


def append(folder: Path, *records: Record) -> ChainAnchor:
    """Add records, durably, behind those that are there.

    Raises
    ------
    FixInput
        The file cannot be verified, or not be written: a trial that is on no record may not begin.
    """
    try:
        return chain.extend(folder / FILE, records, fix=FIX)
    except PermissionError as error:
        raise FixInput(
            f"the record of trials cannot be written: {error.strerror}",
            where=str(folder / FILE),
            fix="Every trial is recorded next to its data: make the dataset's folder writable",
        ) from None


def merge(folder: Path, theirs: Path) -> int:
    """Add what another folder's file holds and this one's does not; return how many records came.

    The file of a search or run folder of an older version has no anchor.

    Raises
    ------
    FixInput
        There is no file, or one of both cannot be verified.
    """
    path = theirs / FILE
    if not path.exists():
        raise FixInput("no record of trials", where=str(path), fix="Name a dataset, search or run folder with one")
    is_old = not chain.anchor_path(path).exists() and not manifest_path(theirs, None).exists()
    other, ours = chain.unanchored(path, fix=FIX) if is_old else _chain(path), _chain(folder / FILE)
    _history([other], str(path))  # what cannot be read is not let in
    contents, heads = {_content(record) for record in ours.records}, _heads(ours)
    new: list[Record] = []
    for record, line in zip(other.records, other.hashes, strict=True):
        content = _content(record)
        if content not in contents:
            contents.add(content)
            bare = {key: value for key, value in record.items() if key != PREVIOUS}
            new.append({**bare, ORIGINS: [*record.get(ORIGINS, []), line]})
        elif line not in heads:
            new.append({"kind": MERGED, "of": line})
    if new:
        append(folder, *new)
    return sum(record["kind"] != MERGED for record in new)


def _chain(path: Path) -> Chain:
    return chain.read(path, fix=FIX)


def _heads(found: Chain) -> frozenset[str]:
    through = [line for record in found.records for line in (*record.get(ORIGINS, ()), record.get("of"))]
    return frozenset((FIRST, *found.hashes, *(line for line in through if isinstance(line, str))))


def _content(record: Record) -> str:
    return sha256_of(canonical_json({key: v for key, v in record.items() if key not in (PREVIOUS, ORIGINS)}))


def _history(chains: Sequence[Chain], where: str) -> TrialHistory:
    try:
        studies = _studies(record for found in chains for record in found.records)
        heads = frozenset().union(*(_heads(found) for found in chains))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise FixInput(f"a record of trials cannot be read: {reason_of(error)}", where=where, fix=FIX) from None
    return TrialHistory(chains[0].anchor, studies, heads)


def _studies(records: Iterable[Record]) -> dict[str, Study]:
    opened: dict[str, Record] = {}
    own: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record["kind"] == "study":
            opened.setdefault(record["study"], record)
        elif "study" in record:
            own[record["study"]].append(record)
    return {name: _study(name, opening, own[name]) for name, opening in opened.items()}


def _study(name: str, opening: Record, records: Sequence[Record]) -> Study:
    """Trials by number and parameters: copies of a dataset may have given one number to two of them."""
    sessions = tuple(opening["sessions"])
    days = np.array(sessions, dtype="datetime64[D]")
    trials: dict[tuple[int, str], Trial] = {}
    for record in records:
        if record["kind"] not in ("started", "ended"):
            continue
        number, place = int(record["number"]), (int(record["number"]), str(sorted(record["parameters"].items())))
        if record["kind"] == "started":
            key = str(record.get("trial") or f"{name}/{number}")
            begun = Trial(
                number, TrialOutcome.INTERRUPTED, record["parameters"], np.zeros(0), "the process died", key, str(record.get("recipe", ""))
            )
            trials.setdefault(place, begun)
        else:
            net, begun = unpacked(record["net"]), trials[place]
            own = unpacked_days(record["days"]) if "days" in record else days[: len(net)]
            if len(own) != len(net):
                raise ValueError(f"{len(net)} returns on {len(own)} sessions")
            shown = {int(fold): float(value) for fold, value in record.get("reported", {}).items()}
            trials[place] = Trial(
                number, TrialOutcome(record["state"]), record["parameters"], net, record["reason"], begun.key, begun.recipe, own, shown
            )
    baselines = {record["name"]: unpacked(record["net"]) for record in records if record["kind"] == "baseline"}
    ordered = tuple(trials[place] for place in sorted(trials))
    return Study(opening["identity"], sessions, ordered, baselines)


__all__ = ["FILE", "FIRST", "ChainAnchor", "Study", "TrialHistory", "append", "known", "merge", "places", "read"]


BARS_KEY = "promotion_bars"
SEARCH, TRAIN, PROVED, COMPARE, STACK, JUDGED = "search", "train", "proved", "compare", "stack", "judged"
DATA, DATASETS = ("sleeve", "spec_hash", "snapshot_id", "symbols", "first", "last"), "datasets"
NAME_DIGITS = 16


@dataclass(frozen=True, eq=False)
class Series:
    """Net session returns, float64 (n,), and their sessions, datetime64[D] (n,)."""

    days: Days
    net: Floats

    @classmethod
    def known(cls, days: Days, net: Floats) -> "Series":
        """Return those of the sessions that have a figure, not NaN."""
        there = np.isfinite(net)
        return cls(days[there], net[there])


@dataclass(frozen=True)
class OneTrial:
    """One trial outside a search: what was asked, and the key and recipe of the trial (`Trial`)."""

    identity: Mapping[str, object]
    key: str
    recipe: str = ""
    lineage: str = ""

    @property
    def study(self) -> str:
        """Name of the study that holds it."""
        return trial_hash(self.identity)


def asked(
    command: str, data: Mapping[str, object], config: RecipeConfig, *, seed: int, device: FitDevice, bars_hash: str = "", lineage: str = ""
) -> OneTrial:
    """Return the question that `command` asks by one training on `data` (`data_of`).

    `lineage` is the key of the trial whose recipe is trained again on later data: such a training is recorded and
    counts as no further trial where that ancestor is on record with the same recipe and seed (`counting`).
    """
    key, of_recipe = trial_key(data, config, seed, device), recipe_hash(data, config, seed)
    more = {"lineage": lineage} if lineage else {}
    return OneTrial({"command": command, **data, "trial": key, BARS_KEY: bars_hash, **more}, key, of_recipe, lineage)


def data_of(recipe: Recipe, source: TrainingBars, open_rows: Samples) -> dict[str, object]:
    """Return what a trial learns from and is judged on, as far as it names a trial."""
    more = {name: held for name, held in source.datasets.items() if name != DAILY_EVENTS}  # these are made of the bars alone
    return {
        "sleeve": recipe.sleeve.name,
        "spec_hash": recipe.sleeve.spec_hash,
        "snapshot_id": source.manifest.snapshot_id,
        "symbols": list(open_rows.symbols),
        "first": day_of(open_rows, int(open_rows.t0.min())),
        "last": day_of(open_rows, int(open_rows.t0.max())),
        **({DATASETS: more} if more else {}),
    }


def day_of(rows: Samples, row: int) -> str:
    """ISO date of a row of the samples' axis, which may hold days or moments."""
    return str(rows.sessions[row].astype("datetime64[D]"))


def trial_key(data: Mapping[str, object], config: RecipeConfig, seed: int, device: FitDevice) -> str:
    """Key of a trial of `config` on `data` (`data_of`)."""
    known = {name: data.get(name) for name in DATA} | ({DATASETS: data[DATASETS]} if DATASETS in data else {})
    return trial_hash({**known, "recipe": recipe_hash(data, config, seed), "device": str(device)})


def recipe_hash(data: Mapping[str, object], config: RecipeConfig, seed: int) -> str:
    """Hash of features, recipe and seed, without the data."""
    chosen = config.identity()
    for section in ("search", *(name for name in LEARNERS if name != config.learner)):
        chosen.pop(section, None)
    return trial_hash({"spec_hash": data.get("spec_hash"), "config": chosen, "seed": seed})


def begin(data: Path, question: OneTrial) -> None:
    """Record that the trial was started, before anything of it is known; it counts from now on."""
    if question.study not in read(data).studies:
        opening = {"kind": "study", "study": question.study, "identity": question.identity, "sessions": []}
        append(data, opening, _started(question, 0))


def end(data: Path, question: OneTrial, series: Series) -> None:
    """Record what came out; an answer that is on record already adds nothing, another one is another trial."""
    trials = read(data).studies[question.study].trials
    if any(_is_same(trial, series) for trial in trials if trial.state is TrialOutcome.COMPLETED):
        return
    is_first = len(trials) == 1 and trials[0].state is TrialOutcome.INTERRUPTED
    number = 0 if is_first else len(trials)
    outcome = ended(Trial(number, TrialOutcome.COMPLETED, {}, series.net, days=series.days))
    begun = [] if is_first else [_started(question, number)]
    append(data, *begun, {"study": question.study, **outcome})


def _started(question: OneTrial, number: int) -> dict[str, object]:
    return {
        "kind": "started",
        "study": question.study,
        "number": number,
        "parameters": {},
        "trial": question.key,
        "recipe": question.recipe,
    }


def _is_same(trial: Trial, series: Series) -> bool:
    return bool(np.array_equal(trial.net, series.net) and np.array_equal(trial.days, series.days))


def trial_hash(document: Mapping[str, object]) -> str:
    """Return the short hash by which studies, trials and recipes are named."""
    return sha256_of(canonical_json(document))[:NAME_DIGITS]
