"""LightGBM on float32 features: deterministic, and exact when exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import lightgbm
import numpy as np

from signals.bars import Floats
from signals.errors import LearnerFailed
from trainer.models.base import Device, Matrix, Rows, check_columns, check_rows
from trainer.models.objectives import directions, extremes, grades, group_sizes, newest_apart
from trainer.models.parameters import BOOSTED_FIELDS, LightGbmConfig, Objective
from trainer.models.trees import read_trees, trees_to_onnx, with_float32_thresholds

OBJECTIVES = {
    Objective.REGRESSION: "regression",
    Objective.QUANTILE: "quantile",
    Objective.RANK: "lambdarank",
    Objective.EXTREMES: "binary",
}


@dataclass(frozen=True)
class LightGbm:
    """The learner. `threads` changes speed alone: LightGBM's deterministic mode sums in a fixed order."""

    config: LightGbmConfig
    seed: int
    threads: int = 1
    device: Device = Device.CPU

    def fit(
        self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None
    ) -> LightGbmModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        rows = np.arange(len(target))
        trees = self.config.trees
        if self.config.patience:
            fitted, newest = newest_apart(sessions, len(target), self.config)
            whole = (features, target, weight, sessions)
            held = self._data(*whole, names, newest)
            trees = self._train(self._data(*whole, names, fitted), names, trees, held).best_iteration
        booster = self._train(self._data(features, target, weight, sessions, names, rows), names, trees, None)
        exact = lightgbm.Booster(model_str=_canonical(booster.model_to_string(num_iteration=-1)))
        return LightGbmModel(exact.model_to_string(num_iteration=-1), names, self.threads)

    def _data(
        self, features: Matrix, target: Floats, weight: Floats, sessions: Rows | None, names: tuple[str, ...],
        rows: Rows,
    ) -> lightgbm.Dataset:  # fmt: skip
        """The chosen rows with what the objective makes of their targets."""
        target, group = target[rows], None
        if self.config.objective is Objective.RANK:
            group = group_sizes(None if sessions is None else sessions[rows], len(rows))
            target = grades(target, self.config.grades).astype(np.float64)
        elif self.config.objective is Objective.EXTREMES:
            kept, target = extremes(target, self.config.share)
            rows = rows[kept]
        return lightgbm.Dataset(
            features if len(rows) == len(features) else features[rows], target, weight=weight[rows], group=group,
            feature_name=list(names), params=self._parameters(names), free_raw_data=True,
        )  # fmt: skip

    def _train(
        self, data: lightgbm.Dataset, names: tuple[str, ...], trees: int, held: lightgbm.Dataset | None
    ) -> lightgbm.Booster:
        """Fit; where rows are `held` back, until they got no better for as long as patience lasts."""
        stop: list[Callable[..., object]] = []
        if held is not None:
            stop.append(lightgbm.early_stopping(self.config.patience, verbose=False))
        try:
            return lightgbm.train(
                self._parameters(names), data, num_boost_round=trees, callbacks=stop,
                valid_sets=None if held is None else [held.set_reference(data)],
            )  # fmt: skip
        except lightgbm.basic.LightGBMError as error:
            raise LearnerFailed(f"LightGBM: {error}", mend="Correct the parameters") from None

    def _parameters(self, names: tuple[str, ...]) -> dict[str, object]:
        shape: dict[str, object] = self.config.model_dump(exclude={"trees", *BOOSTED_FIELDS})
        if self.config.objective is Objective.QUANTILE:
            shape["alpha"] = self.config.quantile
        if self.config.monotone:
            shape["monotone_constraints"] = directions(names, self.config)
        return {
            **shape, "objective": OBJECTIVES[self.config.objective], "bagging_freq": 1, "seed": self.seed,
            "deterministic": True, "force_col_wise": True, "num_threads": self.threads, "verbosity": -1,
        }  # fmt: skip


@dataclass(frozen=True)
class LightGbmModel:
    """Fitted trees, held as LightGBM's text with thresholds that float32 can express."""

    text: str
    names: tuple[str, ...]
    threads: int = 1

    def __reduce__(self) -> tuple[type[LightGbmModel], tuple[str, tuple[str, ...], int]]:
        """Pickle the text alone: the same bytes whether or not the model has predicted."""
        return LightGbmModel, (self.text, self.names, self.threads)

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.text)

    def predict(self, features: Matrix) -> Floats:
        """Scores, float64, shape (n,): sums of leaves, log-odds where the objective is `extremes`."""
        check_columns(features, self.names)
        if len(features) == 0:
            return np.zeros(0)
        scores = self._booster.predict(features, num_threads=self.threads, raw_score=True)
        return np.asarray(scores, dtype=np.float64)

    def to_onnx(self) -> bytes:
        """ONNX graph of the same trees."""
        return trees_to_onnx(read_trees(self.text), len(self.names))

    def to_text(self) -> str:
        """LightGBM's own text form."""
        return self.text

    def importance(self) -> Floats:
        """Share of the total gain per feature."""
        gain = np.asarray(self._booster.feature_importance("gain"), dtype=np.float64)
        total = float(gain.sum())
        shares: Floats = gain / total if total > 0.0 else np.zeros(len(self.names))
        return shares

    def contributions(self, features: Matrix) -> Floats:
        """TreeSHAP values, float64, shape (n, F + 1)."""
        check_columns(features, self.names)
        values = self._booster.predict(features, num_threads=self.threads, pred_contrib=True)
        return np.asarray(values, dtype=np.float64)


def _canonical(text: str) -> str:
    """Thresholds that float32 can express, and no trace of the thread count, which changes nothing else."""
    lines = with_float32_thresholds(text).split("\n")
    return "\n".join(line for line in lines if not line.startswith("[num_threads:"))
