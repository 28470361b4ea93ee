"""What a person reads in the ledger, one file of queries a subject: the commands and the screens show the same rows."""

from appliance.views.view import View

__all__ = ["View"]
