"""How a clip is to be read: what a person says of it, and where doubts are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from mive.base.rates import parse_rate
from mive.media.told import Warnings

if TYPE_CHECKING:
    from mive.request import EditRequest


@dataclass(frozen=True)
class Reading:
    """What a clip's files leave open.

    Attributes:
        rate: frames a second; None is what the files say.
        layer: the part, layer or track that is the picture; None is the one that names like "beauty" tell.
        matte: it is a matte: numbers may be missing, and any lone channel is a picture.
        warnings: where the readers' doubts go.
    """

    rate: Fraction | None = None
    layer: str | None = None
    matte: bool = False
    warnings: Warnings = field(default_factory=Warnings)

    @classmethod
    def of(cls, request: EditRequest, warnings: Warnings | None = None) -> Self:
        """How a request's clip is to be read."""
        rate = None if request.rate is None else parse_rate(request.rate)
        return cls(rate, request.layer, warnings=warnings or Warnings())
