"""Build of the C layer. Everything declarative lives in pyproject.toml.

Switches (environment variables, set to 1):

GHOSTCORE_DEBUG     bounds, None and overflow checks on, -O0 with symbols
GHOSTCORE_SANITIZE  address and undefined-behaviour sanitizers of gcc: the first error is the end
GHOSTCORE_COVERAGE  line tracing for coverage.py
GHOSTCORE_ANNOTATE  write the annotated HTML of each module beside its C
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

ROOT = Path(__file__).parent


def switch(name: str) -> bool:
    return os.environ.get(f"GHOSTCORE_{name}", "0") not in ("", "0")


DEBUG, SANITIZE, COVERAGE = switch("DEBUG"), switch("SANITIZE"), switch("COVERAGE")

compile_args = ["-O0", "-g"] if DEBUG else ["-O3", "-g0"]
link_args: list[str] = []
if SANITIZE:
    # Optimised further, the checks take gcc three minutes and find no more.
    # With -fwrapv, which comes with Python's own flags, no signed overflow would be an error.
    compile_args = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv"]
    checks = "address,undefined,float-cast-overflow,float-divide-by-zero"
    link_args = [f"-fsanitize={checks}", "-fno-sanitize-recover=all"]
    compile_args += link_args
macros = [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if COVERAGE else []
if DEBUG or SANITIZE:
    macros.append(("CYTHON_USE_FREELISTS", "0"))  # what is used after its end must be gone

Options.warning_errors = True

extensions = [
    Extension(
        ".".join(path.relative_to(ROOT).with_suffix("").parts),
        [path.relative_to(ROOT).as_posix()],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=macros,
    )
    for path in sorted(ROOT.glob("ghostcore/**/*.pyx"))
]

if "sdist" not in sys.argv:
    extensions = cythonize(
        extensions,
        build_dir="build/cython",
        annotate=switch("ANNOTATE"),
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "boundscheck": DEBUG,
            "wraparound": False,
            "nonecheck": DEBUG,
            "overflowcheck": DEBUG,
            "cdivision": True,
            "initializedcheck": DEBUG,
            "linetrace": COVERAGE,
            "freethreading_compatible": False,
        },
    )

setup(ext_modules=extensions)
