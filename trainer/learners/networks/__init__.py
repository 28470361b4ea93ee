"""Networks: one training loop, one model, and a family of layers a module."""
