"""``python -m ghostcore``: the command line."""

from __future__ import annotations

import sys

from ghostcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
