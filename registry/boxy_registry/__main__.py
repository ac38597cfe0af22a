"""`python -m boxy_registry` is `boxy-registry`."""

import sys

from boxy_registry.main import main

if __name__ == "__main__":
    sys.exit(main())
