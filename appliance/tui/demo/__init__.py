"""An invented device, the same for the same seed: what the screens show without settings, network or keys."""

from appliance.tui.demo.build import Built, build

__all__ = ["Built", "build"]
