"""Published tables, repeated: each is a study or a sweep, its published figures beside it as data."""

from memberwise.reproduce.claim import Claim
from memberwise.reproduce.flow import run_reproduction
from memberwise.reproduce.registry import REPRODUCTIONS, find_reproduction
from memberwise.reproduce.reproduction import Reproduction

__all__ = ["REPRODUCTIONS", "Claim", "Reproduction", "find_reproduction", "run_reproduction"]
