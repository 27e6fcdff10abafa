"""The user's line: the one that warnings point to, however deep in the package they arise."""

import os
import sys
from types import FrameType

PACKAGE = os.path.dirname(__file__) + os.sep


def level() -> int:
    """Return the `stacklevel` at which a warning of the calling function leaves the package."""
    frame: FrameType | None = sys._getframe(1)
    found = 1
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, found = frame.f_back, found + 1
    return found
