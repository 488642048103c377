"""From a study to all that is needed to carry it out: records with roles, a model to train, the jobs."""

from memberwise.prepare.flow import Prepared, assemble, prepare, with_auxiliary
from memberwise.prepare.given import Given

__all__ = ["Given", "Prepared", "assemble", "prepare", "with_auxiliary"]
