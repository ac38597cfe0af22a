"""A box's files from outside: looked at, copied, compared, by a process made for one such job.

worker.py   that process; enter.py how it gets into a box, walk.py what it does there
layers.py   what it does with a box's own layer, on the host's side
jobs.py     the daemon's side: start it, hear it, end it
"""
