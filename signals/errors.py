"""The error tree of the product: each class is named by the action that its catcher must take.

TrademlError
 |-- FixInput          exit 2   a person corrects a file, an option or a configuration; nothing was changed
 |    |-- BadBars            bars that cannot be read as bars
 |    |    '-- SymbolUnknown      a file of one symbol that does not say which
 |    |-- BadConfig          a configuration file with a wrong key or value
 |    |-- BadDataset         a curated dataset whose manifest does not vouch for what is there
 |    |-- NotASession        a date on which the exchange does not trade, or past the calendar's end
 |    |-- BadBackup          a backup that is not what its record says
 |    |-- UnknownSymbol      a symbol that the data does not hold
 |    |-- TooLittleHistory   fewer sessions than a computation needs
 |    '-- LearnerFailed      a learner that cannot fit these rows with these parameters
 |-- SkipSession       exit 3   no new orders this session; alert; the next session tries again by itself
 |    |-- DataNotUsable      the data of `asof` is RED, stale or absent
 |    |-- ScoresInvalid      scores that are NaN, constant or mostly tied
 |    |-- NoFeasibleBook     caps and neutrality that no pass of the portfolio could meet together
 |    '-- TripwireSkip       a tripwire whose action is SKIP
 |-- HaltDevice        exit 4   latch the halt, cancel working orders, wait for a person
 |    |-- DeviceHalted       the latch was found closed: trading was asked of a halted device
 |    |-- ReconBreak         the ledger and the broker disagree and nothing explains it
 |    |-- UnknownOrder       an order whose outcome could not be proven in time
 |    |-- UnknownBrokerState a status that we do not know, from a broker that we must understand
 |    '-- LedgerUnusable     the ledger cannot be opened or written, or is of a schema newer than this program
 |         '-- LedgerDamaged      its file is corrupt, gone or another one: no reopening brings it back
 |-- TryAgain          exit 5   nothing was changed; the same command may succeed later
 |    |-- BrokerUnreachable  connection refused, time-out or 5xx on a call that changes nothing
 |    |-- StoreUnreachable   the object store or folder could not be read
 |    '-- Locked             another process holds the state folder
 |-- KeepPrevious      exit 6   the new artefact is refused; what is in force stays in force
 |    |-- BundleRefused      signature, expiry, rollback, files, golden vectors
 |    '-- ScoresRefused      delivered scores: signature, session, bundle, data, replay
 |-- MachineFailed     exit 71  the disk is full or failing, or memory ran out: nothing that a person gave is wrong
 |-- OutcomeUnknown    exit 4   the request may have reached the broker: look it up, never send it again
 '-- InvariantBroken   exit 70  a fault of this program: the value being built would be a lie
"""


class TrademlError(Exception):
    """One fault in one sentence: what is wrong, where, and what to do about it.

    Parameters
    ----------
    what : str
        The fault as a clause, without a full stop.
    where : str
        File, row, symbol, session or key; empty when `what` says it.
    fix : str
        The next step for a person, as an imperative clause.
    also : str
        Another way to go on; a program prints it on a line of its own.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "", also: str = "") -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix, self.also = what, where, fix, also

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f". {self.fix}" if self.fix else ""
        return f"{self.what}{place}{advice}"


class FixInput(TrademlError):
    """A person must correct the input; nothing was changed."""

    exit_code = 2


class BadBars(FixInput):
    """Bars that cannot be read as bars."""


class SymbolUnknown(BadBars):
    """A file of one symbol that does not say which."""


class BadConfig(FixInput):
    """A configuration file with a wrong key or value."""


class BadDataset(FixInput):
    """A curated dataset whose manifest does not vouch for what is there."""


class BadBackup(FixInput):
    """A backup that is not what its record says."""


class NotASession(FixInput):
    """A date on which the exchange does not trade, or one past the calendar's end."""


class UnknownSymbol(FixInput):
    """A symbol that the data does not hold."""


class TooLittleHistory(FixInput):
    """Fewer sessions than a computation needs."""


class LearnerFailed(FixInput):
    """A learner's library could not fit these rows with these parameters."""


class SkipSession(TrademlError):
    """No new orders this session; the next one tries again by itself."""

    exit_code = 3


class DataNotUsable(SkipSession):
    """The data of `asof` is RED, stale or absent."""


class ScoresInvalid(SkipSession):
    """Scores that are NaN, constant or mostly tied."""


class NoFeasibleBook(SkipSession):
    """Caps and neutrality that no pass of the portfolio could meet together."""


class TripwireSkip(SkipSession):
    """A tripwire whose action is SKIP has tripped."""


class Paused(SkipSession):
    """A person wants no new orders up to a session: no fault, and never one of the skips that halt."""


class HaltDevice(TrademlError):
    """Latch the halt, cancel working orders and wait for a person."""

    exit_code = 4


class DeviceHalted(HaltDevice):
    """Trading was asked of a device whose halt latch is closed."""


class TripwireHalt(HaltDevice):
    """A tripwire whose action is HALT has tripped; `where` is its name."""


class ReconBreak(HaltDevice):
    """The ledger and the broker disagree and nothing explains it."""


class UnknownOrder(HaltDevice):
    """An order whose outcome could not be proven in time."""


class UnknownBrokerState(HaltDevice):
    """A status that we do not know, from a broker that we must understand."""


class LedgerUnusable(HaltDevice):
    """The ledger cannot be opened or written, or is of a schema newer than this program."""


class LedgerDamaged(LedgerUnusable):
    """The ledger's file is corrupt, gone or another one: a restore or a person must help."""


class TryAgain(TrademlError):
    """Nothing was changed; the same command may succeed later."""

    exit_code = 5


class BrokerUnreachable(TryAgain):
    """A call that changes nothing could not be answered."""


class StoreUnreachable(TryAgain):
    """The object store or folder could not be read."""


class Locked(TryAgain):
    """Another process holds the state folder."""


class KeepPrevious(TrademlError):
    """The new artefact is refused; what is in force stays in force."""

    exit_code = 6


class BundleRefused(KeepPrevious):
    """A bundle that fails verification."""


class ScoresRefused(KeepPrevious):
    """Delivered scores that fail verification."""


class MachineFailed(TrademlError):
    """The machine failed: its disk is full or failing, or its memory ran out."""

    exit_code = 71


class OutcomeUnknown(TrademlError):
    """The request may have reached the broker: look it up, never send it again."""

    exit_code = 4


class InvariantBroken(TrademlError):
    """A fault of this program: the value being built would be a lie."""

    exit_code = 70
