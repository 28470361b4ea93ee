"""`appliance run`: the long-lived process that starts every job at its hour and watches over the device."""
