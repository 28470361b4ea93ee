"""The state of the device: health and its reasons, vitals, upkeep."""
