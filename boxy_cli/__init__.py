"""The command line `boxy`.

Constraint: start-up is what a user feels with every command, so each command loads only what it
needs: no `re`, `json`, `socket`, `argparse`, `typing`.  A test on `sys.modules` watches that.
"""
