"""What the tests of batching share."""

from __future__ import annotations

import sys
from pathlib import Path

# with --import-mode=importlib, test folders are not packages: this is how their tests share modules
sys.path.insert(0, str(Path(__file__).parent))
