"""Messages of Proton's prediction service, by their short names.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_core.wire.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("proton")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
