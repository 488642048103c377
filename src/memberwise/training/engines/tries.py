"""Blocks that failed somewhere else: tried again so many times, then their error ends the run; all of it is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from memberwise.errors import MemberwiseError, Note, TrainingError
from memberwise.training.engines.base import Block

# So many are told apart in the report.
TOLD = 5


@dataclass
class Tries:
    """How often each block was tried, and why again.

    Attributes:
        most: so many times in all.
    """

    most: int
    failed: Counter[int] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    def again(self, block: Block, reason: str, error: BaseException) -> None:
        """A block failed and is to be tried again.

        Raises:
            MemberwiseError: it was tried often enough; the error is of the kind that it raised itself.
        """
        self.failed[block.number] += 1
        if self.failed[block.number] >= self.most:
            raise self._final(block, reason, error)
        self.tell(block, reason)

    def tell(self, block: Block, reason: str) -> None:
        """A block is trained again, and it was not the block's fault."""
        self.reasons.append(f"block {block.number}: {reason}")

    def _final(self, block: Block, reason: str, error: BaseException) -> BaseException:
        models = f"shadow models {block.models[0]} to {block.models[-1]}"
        tried = f"block {block.number} ({models}), tried {self.most} times" if self.most > 1 else models
        if isinstance(error, MemberwiseError):
            where = f"{error.where}; {tried}" if error.where else tried
            parts = {"expected": error.expected, "found": error.found, "fix": error.fix}
            return type(error)(error.problem, where=where, **parts)
        return TrainingError(
            "a block of shadow models fails wherever it is trained",
            found=reason,
            where=tried,
            fix="more time for a task (engine.slurm.minutes), or a smaller block (plan.stack)"
            if "TIMEOUT" in reason
            else "what is wrong may be the model, or too little memory for it; engine.tries = more tries",
        )

    @property
    def notes(self) -> list[Note]:
        """For the report: what was tried again."""
        if not self.reasons:
            return []
        shown = "; ".join(self.reasons[:TOLD])
        more = f"; and {len(self.reasons) - TOLD} more" if len(self.reasons) > TOLD else ""
        count = len(self.reasons)
        return [Note("tried-again", f"{count} time{'s' * (count > 1)} a block was trained again: {shown}{more}")]
