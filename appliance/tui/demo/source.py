"""Screen source of the demo device, which is built on the first query."""

from pathlib import Path

from appliance.system.ports import Clock
from appliance.tui.ledger_source import LedgerSource, ScreenAnswer, ScreenQuery


class DemoSource:
    """A source of answers about an invented device.

    Parameters
    ----------
    root : Path
        An empty folder, which becomes the device's.
    clock : Clock
        The machine's; the device has a clock of its own next to its ledger.
    """

    def __init__(self, root: Path, seed: int, clock: Clock) -> None:
        self._root, self._seed, self._clock = root, seed, clock
        self._source: LedgerSource | None = None

    def read(self, question: ScreenQuery) -> ScreenAnswer:
        """Answer one question; the first one waits for the device to be made."""
        if self._source is None:
            from appliance.tui.demo import build  # brings in numpy, which the screens of a device do without

            self._source = LedgerSource(build(self._root, seed=self._seed).folder, self._clock)
        return self._source.read(question)

    def close(self) -> None:
        """Close the ledger."""
        if self._source is not None:
            self._source.close()
