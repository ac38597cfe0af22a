"""The clients of the daemon: `blocking` for the command line, `aio` for the console.

Constraint: importing this package must load nothing, since `blocking` is on the start-up path
of every `boxy` command and `aio` is not.  `http` (HTTP/1.1, sans-I/O) and `wirejson` serve both.
"""
