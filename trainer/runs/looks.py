"""The record of sessions on which a person has seen a model's results, `looks.jsonl` of a dataset.

A sealed holdout is worth what it is because nobody looked behind it. Sessions after a training's end become the seal of
a later one; whoever watched a shadow over them, or ran a backtest through them, has seen them before. So every command
that shows results writes down on which sessions, before it shows them, and a promotion charges what was seen of its
seal (`trainer/promotion/bars/holdout.py`). One model is one look, however often it is shown, and of whichever dataset: what
counts is read over all records that count together (`chain.places`), as trials are. A look counts where its sleeve and its
market, the calendar of its dataset, are those of what is judged; one that does not say is charged.

What a verdict is given on later is named there too, by its hash (`made`): a training's evidence and scores, a shadow's record, the
figures that a promotion measured, a stack's verdict, a judged policy. What was changed since, or never written here, is believed by nobody.

Not in it: what a device's own screens show of its trading.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from signals.errors import BadDataset, FixInput
from signals.files import sha256_of
from signals.market.dataset import read_manifest
from trainer.recipes.base import CpcvConfig
from trainer.runs import chain
from trainer.runs.run_folder import read_file
from trainer.samples.samples import Samples, seal_holdout

LOOKS = "looks.jsonl"
TRAIN, STACK, POLICY = "train", "stack", "policy"
JUDGED = ("evidence.json", "walk_forward.parquet", "oof.parquet", "training_cfg.json")
FIX = "Restore the dataset's folder from a backup; what was looked at cannot be taken back"


@dataclass(frozen=True)
class Look:
    """One model's results on the sessions [first, last], ISO dates, as `command` showed them; `made` is the hash of what it wrote.

    `market` is written where a look leaves the folder of its dataset, whose calendar it is; `symbol` where results are of one
    instrument alone.
    """

    command: str
    sleeve: str
    model: str
    first: str
    last: str
    made: str = ""
    market: str = ""
    symbol: str = ""


def made(files: Mapping[str, bytes]) -> str:
    """Hash of what a verdict is given on: a run's evidence, scores and settings."""
    return sha256_of("".join(sha256_of(files[name]) for name in JUDGED).encode())


def require_as_made(data: Path, run: Path, models: Collection[str]) -> None:
    """Raise `FixInput` where a run is not what the training of its model wrote, or no training on record wrote its model.

    A run from before trainings named what they wrote, on a dataset where none has since, cannot be asked.
    """
    trained = [row for row in chain.read(data / LOOKS, fix=FIX).records if row["command"] == TRAIN]
    own = [str(row.get("made", "")) for row in trained if str(row["model"]) in models]
    known = {*own} - {""}
    if not known and (own or not any(row.get("made") for row in trained)):
        return
    if not known:
        raise FixInput(
            "no training on this dataset's record wrote the model of this run",
            where=str(run),
            fix="Train again, or merge the record of the dataset that it was trained on: `trainer trials --data D --merge FOLDER`",
        )
    if made({name: read_file(run, name) for name in JUDGED}) not in known:
        raise FixInput(
            "the evidence, the scores or the settings of this run are not what its training wrote",
            where=str(run),
            fix="Restore the run's folder, or train again",
        )


def wrote(data: Path, command: str, models: Collection[str] | None = None) -> frozenset[str]:
    """Return the hashes of what `command` wrote with this dataset, of these models or of any; raises as `record`."""
    rows = [row for row in chain.read(data / LOOKS, fix=FIX).records if row["command"] == command]
    return frozenset(str(row.get("made", "")) for row in rows if models is None or str(row["model"]) in models) - {""}


def asked(data: Path, command: str, sleeve: str, *, more: tuple[Path, ...] = ()) -> frozenset[str]:
    """Return the models of a sleeve that `command` has shown of this market, on any sessions.

    `more` are folders whose looks count with those of the dataset and of the datasets next to it: the registry.

    Raises
    ------
    FixInput
        A chain is broken.
    """
    return frozenset(look.model for look in _of(data, sleeve, more) if look.command == command)


def merge(data: Path, theirs: Path) -> None:
    """Add the looks of another folder that are not on record here; raises as `record`."""
    if came := _looks(theirs):
        _add(data, *came)


def _add(data: Path, *came: Look) -> None:
    """Write down what is not on record, held from the reading to the writing: of two that record one look at once, one does."""
    own = _market(data)

    def new(found: chain.Chain) -> Iterator[dict[str, str]]:
        known = {replace(look, market=look.market or own) for look in map(_look, found.records)}
        return (asdict(look) for look in dict.fromkeys(came) if replace(look, market=look.market or own) not in known)

    chain.amend(data / LOOKS, new, fix=FIX)


def _of(data: Path, sleeve: str, more: tuple[Path, ...]) -> Iterator[Look]:
    """Looks at results of a sleeve in the market of the dataset; what does not say of which is one of them."""
    market = _market(data)
    for place in chain.places(data, *more):
        for look in _looks(place):
            if look.sleeve in ("", sleeve) and (not market or look.market in ("", market)):
                yield look


def _looks(folder: Path) -> tuple[Look, ...]:
    """All that is on record in a folder, each with its market."""
    market = _market(folder)
    found = map(_look, chain.read(folder / LOOKS, fix=FIX).records)
    return tuple(replace(look, market=look.market or market) for look in found)


def _look(row: Mapping[str, object]) -> Look:
    return Look(**{one.name: str(row.get(one.name, "")) for one in fields(Look)})


def _market(folder: Path) -> str:
    """Name of a dataset's calendar; empty, which is every market, of a folder that is no dataset or cannot be read as one."""
    try:
        return read_manifest(folder).calendar.name
    except BadDataset:
        return ""


def of_rows(command: str, sleeve: str, model: str, rows: Samples, config: CpcvConfig) -> Look:
    """Return the look at all that a training or a comparison shows: the open rows, to the end of their labels."""
    shown, _ = seal_holdout(rows, config.holdout_sessions, config.embargo_sessions)
    first, last = (str(shown.sessions[row].astype("datetime64[D]")) for row in (shown.t0.min(), shown.t1.max()))
    return Look(command, sleeve, model, first, last, symbol=rows.symbols[0] if len(rows.symbols) == 1 else "")


def record(data: Path, look: Look) -> None:
    """Write the look down, durably; one that is on record already adds nothing.

    Raises
    ------
    FixInput
        The chain is broken.
    """
    _add(data, look)


def seen(data: Path, sleeve: str, first: str, last: str, *, own: tuple[str, ...], more: tuple[Path, ...] = (), symbol: str = "") -> int:
    """How many models but `own` of the sleeve were shown on a session of [first, last]; `more` and errors as of `asked`.

    Of what is judged on the one instrument `symbol`, looks at another one alone do not count.
    """
    shown = {
        look.model
        for look in _of(data, sleeve, more)
        if not (look.first and look.first > last) and not (look.last and look.last < first) and (not symbol or look.symbol in ("", symbol))
    }
    return len(shown - set(own))
