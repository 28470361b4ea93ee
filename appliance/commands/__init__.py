"""The commands, one file a family; `line` puts them on one command line."""
