"""The order path: journal, send once, prove the outcome, recover. The part that must never be wrong."""

from appliance.orders.order_path import OrderPath

__all__ = ["OrderPath"]
