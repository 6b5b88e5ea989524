"""The `mer` command, one file a sub-command."""
