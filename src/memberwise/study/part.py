"""What every table of a study is: frozen, without unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Larger numbers are slips, and would overflow where times and sizes are computed from them.
MOST = 10**12
Positive = Annotated[int, Field(ge=1, le=MOST)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Part(BaseModel):
    """A table of the study."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
