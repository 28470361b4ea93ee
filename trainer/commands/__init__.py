"""The commands of `trainer`, one file a family; each registers itself on the application it is given."""
