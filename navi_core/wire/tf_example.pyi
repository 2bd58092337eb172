# Written by tools/build_descriptors.py from specs/protos (tf_example); not edited by hand.
# fmt: off
import typing

from google.protobuf.internal import containers
from google.protobuf.message import Message

from navi_core.wire.descriptors import DescriptorSet

DESCRIPTORS: DescriptorSet

class UndecodedExample(Message):
    @property
    def features(self) -> UndecodedFeatures: ...
    def __init__(self, *, features: UndecodedFeatures | None = ...) -> None: ...

class UndecodedFeatures(Message):
    @property
    def feature(self) -> containers.ScalarMap[str, bytes]: ...
    def __init__(self, *, feature: typing.Mapping[str, bytes] | None = ...) -> None: ...
