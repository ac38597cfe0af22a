"""One module for each command or family: its flags (`COMMANDS`) and what it does.

Constraint: `boxy_cli.table` loads exactly one of them per run.
"""
