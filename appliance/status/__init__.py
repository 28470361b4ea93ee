"""How the device is: health and its reasons, vitals, attendance."""
