"""`python -m boxy_cli` is `boxy`."""

from boxy_cli.main import main

if __name__ == "__main__":
    main()
