"""A generated market: seeded, invented, and never to be mistaken for a real one. Entry point: `generate`."""

from trainer.curation.generated.market import GeneratedMarket, Truth, generate

__all__ = ["GeneratedMarket", "Truth", "generate"]
