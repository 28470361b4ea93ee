"""Learners in packages of their own: a table learner and a network, as an installer would leave them."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.plugin import write_plugin

GROUP = "trademl.learners"

COVARIANCE = '''
"""Every feature by its covariance with the target, as if it were the only one."""

from dataclasses import dataclass

import numpy as np

from signals.config import Config
from trainer.learners.base import FitDevice, on_cpu_alone
from trainer.learners.linear import linear_model, read_linear
from trainer.learners.row import LearnerRow
from trainer.learners.standardise import moments, standardised


class CovarianceConfig(Config):
    shrink: float = 1.0


@dataclass(frozen=True)
class Covariance:
    config: CovarianceConfig
    device: FitDevice

    def fit(self, features, target, weight, names, sessions=None):
        mean, scale = moments(lambda: [features])
        z, share = standardised(features, mean, scale).astype(np.float64), weight / weight.sum()
        level = float(share @ target)
        coefficient = self.config.shrink * ((share * (target - level)) @ z)
        coefficient[np.abs(coefficient) < 1e-3] = 0.0
        return linear_model(names, mean, scale, coefficient[:, None], np.array([level]))


ROW = LearnerRow(
    "covariance",
    CovarianceConfig,
    lambda config, making: Covariance(config, on_cpu_alone(making.device, "covariance")),
    lambda text, names: read_linear(text),
    space={"shrink": (0.5, 1.0)},
    by_chance=False,
)
'''

AVERAGED = '''
"""A family of networks: the newest session and the window's mean, through one hidden layer."""

import torch

from trainer.learners.networks.layers import Dropout
from trainer.learners.networks.parameters import NetworkConfig
from trainer.learners.networks.rows import network


class TwoMomentsConfig(NetworkConfig):
    hidden: int = 16


class TwoMoments(torch.nn.Module):
    def __init__(self, shape, width, config):
        super().__init__()
        self.first = torch.nn.Linear(2 * shape[1], config.hidden)
        self.dropout = Dropout(config.dropout)
        self.last = torch.nn.Linear(config.hidden, width)

    def forward(self, z):
        return self.last(self.dropout(torch.relu(self.first(torch.cat([z[:, -1], z.mean(dim=1)], dim=1)))))


ROW = network("two_moments", TwoMomentsConfig, "two_moments_family:TwoMoments")
'''


def write_covariance(folder: Path) -> Path:
    """Write the package of a table learner, `covariance`."""
    return write_plugin(folder, "covariance_learner", COVARIANCE, GROUP, covariance="ROW")


def write_two_moments(folder: Path) -> Path:
    """Write the package of a network, `two_moments`; it imports torch."""
    return write_plugin(folder, "two_moments_family", AVERAGED, GROUP, two_moments="ROW")
