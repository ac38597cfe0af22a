"""Measurements of Boxy beside its peers: the same run, the same machine, told as ratios."""
