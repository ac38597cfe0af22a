"""Data that the runtime reads: the default seccomp profile, and system call numbers.

`seccomp.json` is in the OCI form (see `boxyd.runtime.seccomp`); `syscalls.json` has the numbers
of Linux 6.18 by architecture, from the kernel's own tables.  A package so that both are
installed with the program.
"""
