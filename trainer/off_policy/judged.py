"""`policy.json`: a sizing policy with what it was learned from and every verdict on it, in one document with one hash."""

from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec

from signals.errors import FixInput
from signals.text.documents import absent
from trainer.off_policy.sizing import DecisionsVerdict, Fit, PolicyVerdict, SizingVerdict, fitted_sizing

POLICY_FILE = "policy.json"
FITTED_Q, CHALLENGERS = "fitted_q", ("iql", "cql", "decision_transformer")
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class LinearValues:
    """The numbers of a `SizingPolicy`, as its JSON document has them."""

    names: tuple[str, ...]
    centre: Numbers
    scale: Numbers
    coefficients: tuple[tuple[Numbers, ...], ...]


@dataclass(frozen=True)
class JudgedPolicy:
    """The document.

    Attributes
    ----------
    model_sha256, scores_sha256, config_hash, snapshot_id, settings : str
        The run's model, its walk-forward scores, its configuration, its data, and the settings of the book.
    first, last : date
        Trade sessions that it was judged on; `last` is also the last one that the policy in force learned from.
    trial : str
        Which question this was; `tries` of them were asked of the sleeve, and share one error.
    replay, orders : SizingVerdict
        On weights, and by the orders of the exact engine.
    decisions : DecisionsVerdict, optional
        By a log with propensities, where there is one.
    """

    learner: str
    seed: int
    blocks: int
    sleeve: str
    run: str
    config_hash: str
    model_sha256: str
    scores_sha256: str
    dataset: str
    calendar: str
    snapshot_id: str
    settings: str
    code_version: str
    first: date
    last: date
    trial: str
    tries: int
    replay: SizingVerdict
    orders: SizingVerdict
    values: LinearValues
    is_rehearsal: bool = False
    decisions: DecisionsVerdict | None = absent()
    format: str = "trademl-policy/1"

    @property
    def verdicts(self) -> dict[str, PolicyVerdict]:
        """Every verdict by what gave it."""
        found = {"replay": self.replay, "orders": self.orders, "decisions": self.decisions}
        return {name: one for name, one in found.items() if one is not None}

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why it may not be published, in words; empty where every verdict accepts it."""
        rehearsal = ("the book is sized by a fixed IC: a rehearsal, of which nothing follows",) * self.is_rehearsal
        return rehearsal + tuple(f"{name} {one.sentence}" for name, one in self.verdicts.items() if not one.is_accepted)


def fit_named(name: str, seed: int) -> Fit:
    """Return what learns a policy.

    Raises
    ------
    FixInput
        There is no such learner, or its networks need torch, which is not installed.
    """
    if name == FITTED_Q:
        return fitted_sizing
    if name not in CHALLENGERS:
        raise FixInput(f"no learner of policies {name!r}", where="--learner", fix=f"Choose {', '.join((FITTED_Q, *CHALLENGERS))}")
    if find_spec("torch") is None:
        raise FixInput(f"{name} is a network and needs torch", where="--learner", fix="Install the extra `deep`, or use fitted_q")
    from trainer.off_policy.challengers import CHALLENGER_FITS

    return lambda env: CHALLENGER_FITS[name](env, seed)
