"""The commands, one file a family; `appliance.__main__` puts them on one command line."""
