"""`training_cfg.json` of a run: with what settings it was trained, on what, so that it can be trained again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

TRAINING = "training_cfg.json"


@dataclass(frozen=True)
class TrainedRange:
    """Requested range of the dataset: first and last session, None for its own; names, none for all."""

    start: date | None
    end: date | None
    symbols: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The effective settings of a training.

    Attributes
    ----------
    config : mapping
        The recipe's settings (`RecipeConfig`).
    trial, range
        None where an earlier program did not say.
    """

    sleeve: str
    seed: int
    config: Mapping[str, object]
    config_hash: str = ""
    code_version: str = ""
    snapshot_id: str = ""
    dataset_version: int = 0
    first_training_session: str = ""
    last_label_session: str = ""
    symbols: tuple[str, ...] = ()
    trial: str | None = None
    device: str = "auto"
    range: TrainedRange | None = None
