"""Load models: what is planned, and the executors that carry it out.

The executors are in modules of their own (:mod:`ghostcore.load.closed`): who only writes down a
plan need not load them.
"""

from ghostcore.load.model import ClosedModel, LoadModel, Step
from ghostcore.load.profiles import (
    ConstantVUs,
    PerVUIterations,
    RampingVUs,
    Stage,
    profile_from_dict,
)

__all__ = [
    "ClosedModel",
    "ConstantVUs",
    "LoadModel",
    "PerVUIterations",
    "RampingVUs",
    "Stage",
    "Step",
    "profile_from_dict",
]
