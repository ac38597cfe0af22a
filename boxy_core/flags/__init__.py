"""The flags that a box is made by: their table, how they are read, the BoxSpec that they mean.

Shared by the command line and the console's form.  Constraint: on the start-up path of every
`boxy` command, so nothing here imports more than boxy_core's errors and units.
"""
