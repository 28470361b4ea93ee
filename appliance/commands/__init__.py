"""The commands, one file a family; `command_line` registers them."""
