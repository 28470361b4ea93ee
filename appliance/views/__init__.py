"""Queries of the ledger, one file a subject; the commands and the screens show the same rows."""

from appliance.views.view import View

__all__ = ["View"]
