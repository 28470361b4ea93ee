"""Reports of option research: pages and their pictures."""
