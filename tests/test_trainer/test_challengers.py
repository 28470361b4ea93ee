"""Challengers of fitted Q: expectiles and the conservative penalty of printed cases, and what each learns of a regime."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed by `make test-deep`")

from signals.errors import FixInput  # noqa: E402
from tests.fakes.regimes import noise_market, regime_market  # noqa: E402
from trainer.off_policy import challengers  # noqa: E402
from trainer.off_policy.challengers import SHARES, conservative_penalty, expectile_losses  # noqa: E402
from trainer.off_policy.judged import CHALLENGERS, fit_named  # noqa: E402

pytestmark = pytest.mark.deep


def test_the_loss_is_least_at_the_printed_expectile() -> None:
    """Of 0, 1, 2, 10 at 0.7: 0.7 (10 - m) = 0.3 (3 m - 3), m = 4.9375; at one half it is the mean."""
    values = torch.tensor([0.0, 1.0, 2.0, 10.0], dtype=torch.float64)
    for sample, level, printed in ((values, 0.7, 4.9375), (values, 0.5, 3.25), (-values, 0.3, -4.9375)):
        at = torch.tensor(printed, dtype=torch.float64, requires_grad=True)
        expectile_losses(sample - at, level).sum().backward()
        assert float(at.grad) == pytest.approx(0.0, abs=1e-12)
    near = [float(expectile_losses(values - m, 0.7).sum()) for m in (4.9275, 4.9375, 4.9475)]
    assert near[1] < min(near[0], near[2])


def test_the_conservative_penalty_of_one_two_three() -> None:
    """log(e + e^2 + e^3) = 3.4076 less the value of what was taken."""
    values = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64).expand(3, 3)
    found = conservative_penalty(values, torch.eye(3, dtype=torch.float64))
    assert found.tolist() == pytest.approx([2.4076059644, 1.4076059644, 0.4076059644], abs=5e-11)


def test_the_shares_are_those_of_the_replay_and_the_baseline() -> None:
    assert SHARES[0] == pytest.approx([0.2] * 5) and SHARES[4] == pytest.approx([1 / 6] * 4 + [2 / 6])


@pytest.mark.parametrize("name", CHALLENGERS)
def test_a_challenger_learns_the_same_twice_and_of_a_regime_what_fitted_q_learns(name: str) -> None:
    """Where the newest signal says good, more is held than where it says bad; noise gives no such slope of its own making."""
    env, good = regime_market(1, 800)
    policy, again = (fit_named(name, 1)(env) for _ in range(2))
    assert np.array_equal(policy.coefficients, again.coefficients)
    chosen = policy.path(env.states)
    assert chosen[good].mean() > chosen[~good].mean() + 0.1
    assert policy.names == env.names and np.isfinite(policy.coefficients).all()


def test_rewards_of_another_scale_teach_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rewards are taken in their own deviation: a book a tenth as large is sized alike."""
    env = noise_market(2, 300)
    plain = challengers._scaled(env)
    rewards = env.rewards()
    monkeypatch.setattr(type(env), "rewards", lambda self: rewards / 10.0)
    assert challengers._scaled(env) == pytest.approx(plain)


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(FixInput, match="no learner of policies 'ddpg'"):
        fit_named("ddpg", 1)
