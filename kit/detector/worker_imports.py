"""Imported by the server that forks the workers of a DataLoader: mmdet with kit's parts, once for all of them.

Each of them ends with the process whose worker it is.
"""

import os

from kit.base.stopping import end_with_maker
from kit.detector.architecture import prepare

prepare()
os.register_at_fork(after_in_child=end_with_maker)
