"""From target weights to a frozen plan of orders, judged and ready to send. Pure."""
