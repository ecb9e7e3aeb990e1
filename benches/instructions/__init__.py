"""Instructions that a message, a connect, a sleep and a sample cost; none may grow unnoticed.

Seconds on a machine that others use mean little; instructions are the same on a busy one. Every
workload (``workloads.py``) is a real run under callgrind, with its server in another process that
is not. It is run with few units and with many: the difference over the difference is what one unit
costs in user space, and whatever is there once (start-up, the end, the report) drops out.

The accepted counts are in ``accepted.json``. A count that is more than ``TOLERANCE`` above fails;
one that is as far below asks to be stored::

    python -m benches.instructions                            # all of them, about a minute
    python -m benches.instructions --only connect_epoll       # one
    python -m benches.instructions --accept                   # store the lowest of all layouts

Counts belong to an interpreter, a compiler and a few packages. Where these are not those of
``accepted.json`` the table says which differ, and ``FOREIGN_TOLERANCE`` is what is allowed.

To find what grew
-----------------

Each measurement leaves two profiles, ``build/instructions/NAME.few`` and ``NAME.many``. The cost of
a unit by function, as the difference of the two, and with what it calls::

    python -m benches.instructions --only connect_epoll --functions

Do that in this tree and in a checkout of the commit before, and compare. Functions of the C layer
have names such as ``__pyx_f_9ghostcore_5links_10epoll_link_9EpollLink__answer``. To see callers
too::

    callgrind_annotate --tree=both --inclusive=yes build/instructions/connect_epoll.many | less

Python code is all in ``_PyEval_EvalFrameDefault``; there the profiler of Python's helps, over the
same workload (outside of valgrind, so the times are only shares)::

    python -m benches.instructions --only connect_epoll --calls
"""
