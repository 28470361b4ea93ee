"""From paper keys to an armed device: the questions of `appliance setup`, and the steps that its answers lead to."""
