"""From quotes of one underlying and day to a surface of implied variances with its quality."""
