"""Lineages: one configuration, trained again week by week on newer data, as far as it stays what was accepted."""
