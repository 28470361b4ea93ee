"""A generated demo device, reproducible by seed: the screens without settings, network or keys."""

from appliance.tui.demo.build import Built, build

__all__ = ["Built", "build"]
