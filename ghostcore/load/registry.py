"""Every load model by the name of its executor: what a plan on disk is read with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ghostcore.errors import UsageError
from ghostcore.load.closed_models import (
    ConstantVUs,
    ExternallyControlled,
    PerVUIterations,
    RampingVUs,
    SharedIterations,
)
from ghostcore.load.model import LoadModel
from ghostcore.load.open_models import ConstantArrivalRate, RampingArrivalRate

__all__ = ["load_from_dict"]

_MODELS: dict[str, type[LoadModel]] = {
    model.executor: model
    for model in (
        ConstantArrivalRate,
        ConstantVUs,
        ExternallyControlled,
        PerVUIterations,
        RampingArrivalRate,
        RampingVUs,
        SharedIterations,
    )
}


def load_from_dict(data: Mapping[str, Any]) -> LoadModel:
    """The load model that :meth:`LoadModel.to_dict` wrote; its values are not checked.

    :raises UsageError: no such executor; arguments that it does not have, or lacks.
    """
    arguments = dict(data)
    name = arguments.pop("executor", None)
    model = _MODELS.get(name) if isinstance(name, str) else None
    if model is None:
        raise UsageError(f"executor must be one of {', '.join(sorted(_MODELS))}, not {name!r}")
    known = {item.name for item in fields(model)}
    unknown = sorted(str(key) for key in arguments if key not in known)
    if unknown:
        raise UsageError(f"{name} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    try:
        return model(**arguments)
    except TypeError as error:  # the only one that is left: a missing argument
        raise UsageError(f"{name}: {error}") from None
