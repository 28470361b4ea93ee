"""The order path: journal, send once, prove the outcome, recover."""

from appliance.orders.order_path import OrderPath

__all__ = ["OrderPath"]
