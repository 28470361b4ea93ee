"""Base of the fitted trees of LightGBM, CatBoost and XGBoost: outputs, shares of the gain, SHAP values, and how they pickle."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np

from signals.errors import FixInput
from signals.market.bars import Floats
from signals.models.heads import Head
from trainer.learners.base import Matrix, Reduced, check_columns, head_of_width


@dataclass(frozen=True)
class BoostedModel(Reduced, ABC):
    """Fitted trees, held as the text of the library that fitted them."""

    text: str
    names: tuple[str, ...]

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Pickle the fields only: the same bytes whether or not the model has predicted."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @cached_property
    def head(self) -> Head:
        """One score, or one raw score a class."""
        return head_of_width(self._width())

    def outputs(self, features: Matrix) -> Floats:
        """Sums of leaves, float64, shape (n, width); log-odds where the objective is `extremes`."""
        check_columns(features, self.names)
        if len(features) == 0:
            return np.zeros((0, self.head.width))
        return np.asarray(self._sums(features), dtype=np.float64).reshape(len(features), self.head.width)

    def to_text(self) -> str:
        """The library's own text form."""
        return self.text

    def importance(self) -> Floats:
        """Share of each feature in what the splits gained."""
        gains = np.asarray(self._gains(), dtype=np.float64)
        total = float(gains.sum())
        return gains / total if total > 0.0 else np.zeros(len(self.names))

    def contributions(self, features: Matrix) -> Floats:
        """TreeSHAP values, float64, shape (n, F + 1), as exact as the library computes them."""
        check_columns(features, self.names)
        if self.head.width > 1:
            raise FixInput("an expected class has no exact SHAP values", fix="Use permutation importance")
        return np.asarray(self._shap(features), dtype=np.float64)

    @abstractmethod
    def to_onnx(self) -> bytes:
        """ONNX graph of the same trees."""

    @abstractmethod
    def _width(self) -> int:
        """Outputs of the trees."""

    @abstractmethod
    def _sums(self, features: Matrix) -> Floats:
        """Sums of leaves of one row at least."""

    @abstractmethod
    def _gains(self) -> Floats:
        """Gain of each feature's splits, (F,)."""

    @abstractmethod
    def _shap(self, features: Matrix) -> Floats:
        """TreeSHAP values of one score."""
