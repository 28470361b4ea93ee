"""The record of sessions on which a person has seen a model's results, `looks.jsonl` of a dataset.

A sealed holdout is worth what it is because nobody looked behind it. Sessions after a training's end become the seal of
a later one; whoever watched a shadow over them, or ran a backtest through them, has seen them before. So every command
that shows results writes down on which sessions, before it shows them, and a promotion charges what was seen of its
seal (`trainer/promotion/bars/holdout.py`). One model is one look, however often it is shown.

A training's look also names what it wrote (`made`): a promotion judges no evidence, and no scores, that were changed since.

Not in it: what a device's own screens show of its trading.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from signals.errors import FixInput
from signals.files import sha256_of
from signals.text.wording import reason_of
from trainer.recipes.base import CpcvConfig
from trainer.runs import chain
from trainer.samples.samples import Samples, seal_holdout

LOOKS = "looks.jsonl"
JUDGED = ("evidence.json", "walk_forward.parquet", "training_cfg.json")
FIX = "Restore the dataset's folder from a backup; what was looked at cannot be taken back"


@dataclass(frozen=True)
class Look:
    """One model's results on the sessions [first, last], ISO dates, as `command` showed them; `made` is of a training alone."""

    command: str
    sleeve: str
    model: str
    first: str
    last: str
    made: str = ""


def made(files: Mapping[str, bytes]) -> str:
    """Hash of what a verdict is given on: a run's evidence, walk-forward scores and settings."""
    return sha256_of("".join(sha256_of(files[name]) for name in JUDGED).encode())


def require_as_made(data: Path, run: Path, models: Collection[str]) -> None:
    """Raise `FixInput` where a run is not what the training of its model wrote; one that no record names cannot be asked."""
    known = {str(row.get("made", "")) for row in chain.read(data / LOOKS, fix=FIX).records if str(row["model"]) in models} - {""}
    if not known:
        return
    try:
        found = made({name: (run / name).read_bytes() for name in JUDGED})
    except OSError as error:
        raise FixInput(f"a file of the run cannot be read: {reason_of(error)}", where=str(run), fix="Train again") from None
    if found not in known:
        raise FixInput(
            "the evidence, the walk-forward scores or the settings of this run are not what its training wrote",
            where=str(run),
            fix="Restore the run's folder, or train again",
        )


def of_rows(command: str, sleeve: str, model: str, rows: Samples, config: CpcvConfig) -> Look:
    """Return the look at all that a training or a comparison shows: the open rows, to the end of their labels."""
    shown, _ = seal_holdout(rows, config.holdout_sessions, config.embargo_sessions)
    days = [str(shown.sessions[row].astype("datetime64[D]")) for row in (shown.t0.min(), shown.t1.max())]
    return Look(command, sleeve, model, *days)


def record(data: Path, look: Look) -> None:
    """Write the look down, durably; one that is on record already adds nothing.

    Raises
    ------
    FixInput
        The chain is broken.
    """
    path = data / LOOKS
    if not any(_is_same(known, look) for known in chain.read(path, fix=FIX).records):
        chain.append(path, asdict(look), fix=FIX)


def seen(data: Path, sleeve: str, first: str, last: str, *, own: tuple[str, ...]) -> int:
    """How many models but `own` of the sleeve were shown on a session of [first, last]; raises as `record`."""
    return len(
        {
            str(known["model"])
            for known in chain.read(data / LOOKS, fix=FIX).records
            if known["sleeve"] == sleeve and known["first"] <= last and known["last"] >= first
        }
        - set(own)
    )


def _is_same(known: Mapping[str, object], look: Look) -> bool:
    return all(known.get(name, "") == value for name, value in asdict(look).items())
