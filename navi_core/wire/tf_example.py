"""tensorflow.Example read less deeply than it could be, by short names: ``tf_example.UndecodedExample``.

Classes are made when they are first used; the stub beside this file gives their types.
"""

from __future__ import annotations

from navi_core.wire.descriptors import DescriptorSet, lazy_messages

DESCRIPTORS = DescriptorSet("tf_example")

__getattr__ = lazy_messages(DESCRIPTORS, globals())
