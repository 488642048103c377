"""From a study to all that is needed to carry it out: records with roles, a model to train, the jobs."""

from memberwise.auditing.prepare.inputs import Inputs
from memberwise.auditing.prepare.prepared import Prepared, assemble, prepare, with_auxiliary, with_smaller_stack

__all__ = ["Inputs", "Prepared", "assemble", "prepare", "with_auxiliary", "with_smaller_stack"]
