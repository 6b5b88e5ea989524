"""The `mer` command, one file a sub-command; `command` turns errors into exit codes for all commands."""
