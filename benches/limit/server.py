"""Becomes the echo server in C, with the arguments of every server process."""

from __future__ import annotations

import os

from benches.limit import built
from ghostcore.testing import server_arguments


def main(arguments: list[str] | None = None) -> None:
    options = server_arguments(__doc__ or "").parse_args(arguments)
    program = str(built("server"))
    watch = ["watch"] if options.watch_stdin else []
    os.execv(program, [program, options.host, str(options.port), *watch])


if __name__ == "__main__":
    main()
