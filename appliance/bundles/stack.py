"""The stack's weights on the device, in `state/bundles/stack/weights.json`."""

from datetime import date

from appliance.bundles.signed_documents import load_document
from appliance.config import ApplianceConfig
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.errors import BundleRefused
from signals.market.sessions import Calendar
from signals.scoring.signed import STACK_DOCUMENT, StackWeights


def load_stack(folder: StateFolder, fs: Fs, asof: date, config: ApplianceConfig, calendar: Calendar) -> StackWeights:
    """Return the weights that were kept, verified again.

    Raises
    ------
    BundleRefused
        They are refused, or name a sleeve that this device does not trade.
    """
    found = load_document(STACK_DOCUMENT, folder, fs, asof, calendar)
    if strange := sorted(set(found.weights) - set(config.sleeves)):
        raise BundleRefused(f"the stack weighs {strange[0]}, which this device does not trade", fix="Add it to `sleeves` in config.yml")
    return found
