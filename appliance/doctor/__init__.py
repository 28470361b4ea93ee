"""`appliance doctor`: everything that a device needs in order to work, looked at, with how to fix what is wrong.

`examine` runs the table of checks over a `Patient` and returns one finding or more for each; it never raises for what
is wrong with a device, changes nothing and waits for no lock. `try_addresses` sends a message to each address.
"""

from appliance.doctor.alert_test import try_addresses
from appliance.doctor.examination import CHECKS, examine
from appliance.doctor.finding import Finding, State, worst
from appliance.doctor.probe import Patient

__all__ = ["CHECKS", "Finding", "Patient", "State", "examine", "try_addresses", "worst"]
