"""The result of one health check: ok, warning or error, with the fix."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from signals.errors import TrademlError
from signals.text.wording import reason_of


class FindingState(IntEnum):
    """How bad it is; the worst of all is the exit code."""

    OK = 0
    WARN = 1
    BAD = 2

    @property
    def word(self) -> str:
        """As it is printed."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes
    ----------
    says : str
        The observation.
    fix : str
        The next step for a person; empty where nothing is wrong.
    """

    check: str
    state: FindingState
    says: str
    fix: str = ""

    @property
    def line(self) -> str:
        """As it is printed: one line, and what to do on a second one."""
        line = f"{self.state.word:<5} {self.check:<12} {self.says}"
        return line if self.state is FindingState.OK else f"{line}\n{'':<19}-> {self.fix}"


def ok(check: str, says: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check, FindingState.OK, says)


def warn(check: str, says: str, fix: str) -> Finding:
    """Something is worth a look."""
    return Finding(check, FindingState.WARN, says, fix)


def bad(check: str, says: str, fix: str) -> Finding:
    """The device cannot work like this."""
    return Finding(check, FindingState.BAD, says, fix)


def fault(check: str, error: TrademlError | OSError, fix: str) -> Finding:
    """An error as a finding: its own advice counts before ours."""
    if isinstance(error, TrademlError):
        place = f" ({error.where})" if error.where else ""
        return bad(check, f"{error.what}{place}", error.fix or fix)
    return bad(check, f"{error.filename or ''} {reason_of(error)}".strip(), fix)


def worst(findings: Iterable[Finding]) -> FindingState:
    """Return the worst state among them."""
    return max((finding.state for finding in findings), default=FindingState.OK)
