"""Several sleeves' scores become one: learned on scores that no model gave to what it had seen."""
