"""`python -m boxyd`: the daemon without the installed script."""

import sys

from boxyd.main import main

if __name__ == "__main__":
    sys.exit(main())
