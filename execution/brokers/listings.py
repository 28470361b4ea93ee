"""Every asset that Alpaca lists or has listed, through alpaca-py's trading client: read only, paper host or this machine."""

from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus
from alpaca.trading.requests import GetAssetsRequest
from requests.adapters import BaseAdapter

from execution.brokers import parsing
from execution.brokers.market_data import BURST, REQUESTS_PER_MINUTE, Keys
from execution.brokers.rate_limit import RateClock, TokenBucket
from execution.brokers.reported import ReportedAsset
from execution.brokers.retrying import PATIENCE, Asking, tame
from execution.brokers.transport import GuardedTransport, require_permitted


class AlpacaListings:
    """The list of assets, of Alpaca's paper host or a loopback address; `adapter` as of `AlpacaData`."""

    def __init__(self, url: str, keys: Keys, clock: RateClock, *, adapter: BaseAdapter | None = None) -> None:
        require_permitted(url)
        self._asking = Asking("alpaca", clock, PATIENCE)
        self._client = TradingClient(keys.key_id, keys.secret_key, paper=True, raw_data=True, url_override=url.rstrip("/"))
        tame(self._client, GuardedTransport(TokenBucket(REQUESTS_PER_MINUTE, BURST, clock), adapter))

    def assets(self) -> tuple[ReportedAsset, ...]:
        """Return every US equity, active and inactive, by symbol; an asset that is in both lists is active.

        Raises
        ------
        BrokerUnreachable
            No whole answer came.
        BadBars
            The request was refused.
        """
        return tuple(sorted({row for status in (AssetStatus.ACTIVE, AssetStatus.INACTIVE) for row in self._of(status)}))

    def _of(self, status: AssetStatus) -> tuple[ReportedAsset, ...]:
        asked = GetAssetsRequest(status=status, asset_class=AssetClass.US_EQUITY)
        content = self._asking.read(lambda: self._client.get_all_assets(asked))
        return parsing.listed(content, "assets", parsing.listed_asset)
