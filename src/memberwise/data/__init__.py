"""Named sources, files, checks, roles and splits, tabular encoding."""

from memberwise.data.assign import assign_roles
from memberwise.data.build import from_object
from memberwise.data.catalogue import SOURCES, Source
from memberwise.data.checks import check_dataset, duplicates
from memberwise.data.dataset import Dataset
from memberwise.data.encoding import encode
from memberwise.data.fetch import at_hand
from memberwise.data.files import read_dataset
from memberwise.data.role_spec import RoleSpec
from memberwise.data.roles import Roles
from memberwise.data.sources import load

__all__ = [
    "SOURCES",
    "Dataset",
    "RoleSpec",
    "Roles",
    "Source",
    "assign_roles",
    "at_hand",
    "check_dataset",
    "duplicates",
    "encode",
    "from_object",
    "load",
    "read_dataset",
]
