"""The forms in which vendors deliver bars; `VENDORS` names them."""
