"""What runs close to the kernel: the zygote, the shims, and what becomes a box.

Constraint: the standard library, ctypes (in `syscalls` alone), `boxy_core.errors` and itself;
no asyncio, no threads.  Every process here is forked from the zygote, so whatever a module
needs is imported before the first box starts: after pivot_root there is no Python to import.
"""
