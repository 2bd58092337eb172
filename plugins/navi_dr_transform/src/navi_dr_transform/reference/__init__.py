"""What the kernels must answer, in plain Python that is written to be read; tests compare them with it.

Arrived at another way: the bytes become Python objects, which are then laid into the rows by the feature map
itself, without its frozen form.
"""

from __future__ import annotations

from navi_dr_transform.reference.rows import Reference

__all__ = ["Reference"]
