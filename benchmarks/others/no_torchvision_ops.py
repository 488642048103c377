"""Import this before torchvision: its build on the package index needs CUDA for its own operators.

Without them only their registration fails. No trainer uses them (they find boxes in images).
"""

import sys
import types

NAME = "torchvision._meta_registrations"
sys.modules[NAME] = types.ModuleType(NAME)
