"""``python -m navi_core`` is ``navi-host``."""

from __future__ import annotations

from navi_core.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
