from __future__ import annotations

import sys
from pathlib import Path

# Tests are no package (importlib mode): their shared examples lie beside them.
sys.path.insert(0, str(Path(__file__).parent))
