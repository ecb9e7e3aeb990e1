"""``python -m ghost_greeter.simulator --port 3001 --agents 10``."""

from __future__ import annotations

import sys

from ghost_greeter.simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
