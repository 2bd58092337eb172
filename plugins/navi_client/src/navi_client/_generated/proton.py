# Copied from navi_core/wire/proton.py by tools/build_wire_copies.py; not edited by hand.
"""Messages of Proton's prediction service, by their short names.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_client._generated.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("proton")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
