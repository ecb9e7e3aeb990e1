"""``python -m ghost_greeter``: the program ``ghost-greeter``."""

import sys

from ghost_greeter.cli import main

if __name__ == "__main__":
    sys.exit(main())
