"""What every test gets: released buffers are filled with NaN, so that whoever still reads one is found out."""

from __future__ import annotations

import os

os.environ.setdefault("NAVI_DEBUG_BUFFERS", "1")
