"""Load models: what is planned, and the executors that carry it out.

The executors are in modules of their own (:mod:`ghostcore.load.closed`,
:mod:`ghostcore.load.open`): who only writes down a plan need not load them.
"""

from ghostcore.load.closed_models import (
    ConstantVUs,
    ExternallyControlled,
    PerVUIterations,
    RampingVUs,
    SharedIterations,
    Stage,
)
from ghostcore.load.model import ClosedModel, LoadModel, Step
from ghostcore.load.open_models import ConstantArrivalRate, OpenModel, RampingArrivalRate
from ghostcore.load.registry import load_from_dict
from ghostcore.load.share import Share

__all__ = [
    "ClosedModel",
    "ConstantArrivalRate",
    "ConstantVUs",
    "ExternallyControlled",
    "LoadModel",
    "OpenModel",
    "PerVUIterations",
    "RampingArrivalRate",
    "RampingVUs",
    "Share",
    "SharedIterations",
    "Stage",
    "Step",
    "load_from_dict",
]
