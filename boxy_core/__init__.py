"""What every Boxy program shares: errors, models, paths, units, the wire, clients, images.

Constraint: light to import.  `errors`, `paths`, `units`, `protocol` and `client.blocking` are
on the start-up path of every `boxy` command, so they must not import dataclasses, logging,
asyncio, typing-heavy code or anything outside the standard library.
"""

__version__ = "0.1.0"
