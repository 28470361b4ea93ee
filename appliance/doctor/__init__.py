"""`appliance doctor`: checks everything that a device needs in order to work, and says how to fix each fault.

`examine` runs the table of checks over a `DeviceProbe` and returns one finding or more for each; it never raises for what
is wrong with a device, changes nothing and waits for no lock. `try_addresses` sends a message to each address.
"""

from appliance.doctor.examination import CHECKS, examine, try_addresses
from appliance.doctor.finding import Finding, FindingState, worst
from appliance.doctor.probe import DeviceProbe

__all__ = ["CHECKS", "DeviceProbe", "Finding", "FindingState", "examine", "try_addresses", "worst"]
