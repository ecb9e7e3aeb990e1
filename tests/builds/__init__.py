"""The tests on other builds of the C layer: ``python -m tests.builds debug``, or ``sanitized``.

Each build is a copy of the tree in ``build/NAME``, made with a switch of setup.py, so that the tree
itself keeps its own. Files that have not changed are neither copied nor compiled again.
"""
