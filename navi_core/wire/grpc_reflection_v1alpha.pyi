# Written by tools/build_descriptors.py from specs/protos (grpc_reflection_v1alpha); not edited by hand.
# fmt: off
import typing

from google.protobuf.internal import containers
from google.protobuf.message import Message

from navi_core.wire.descriptors import DescriptorSet

DESCRIPTORS: DescriptorSet

class ErrorResponse(Message):
    error_code: int
    error_message: str
    def __init__(self, *, error_code: int | None = ..., error_message: str | None = ...) -> None: ...

class ExtensionNumberResponse(Message):
    base_type_name: str
    @property
    def extension_number(self) -> containers.RepeatedScalarFieldContainer[int]: ...
    def __init__(self, *, base_type_name: str | None = ..., extension_number: typing.Iterable[int] | None = ...) -> None: ...

class ExtensionRequest(Message):
    containing_type: str
    extension_number: int
    def __init__(self, *, containing_type: str | None = ..., extension_number: int | None = ...) -> None: ...

class FileDescriptorResponse(Message):
    @property
    def file_descriptor_proto(self) -> containers.RepeatedScalarFieldContainer[bytes]: ...
    def __init__(self, *, file_descriptor_proto: typing.Iterable[bytes] | None = ...) -> None: ...

class ListServiceResponse(Message):
    @property
    def service(self) -> containers.RepeatedCompositeFieldContainer[ServiceResponse]: ...
    def __init__(self, *, service: typing.Iterable[ServiceResponse] | None = ...) -> None: ...

class ServerReflectionRequest(Message):
    host: str
    file_by_filename: str
    file_containing_symbol: str
    @property
    def file_containing_extension(self) -> ExtensionRequest: ...
    all_extension_numbers_of_type: str
    list_services: str
    def __init__(self, *, host: str | None = ..., file_by_filename: str | None = ..., file_containing_symbol: str | None = ..., file_containing_extension: ExtensionRequest | None = ..., all_extension_numbers_of_type: str | None = ..., list_services: str | None = ...) -> None: ...

class ServerReflectionResponse(Message):
    valid_host: str
    @property
    def original_request(self) -> ServerReflectionRequest: ...
    @property
    def file_descriptor_response(self) -> FileDescriptorResponse: ...
    @property
    def all_extension_numbers_response(self) -> ExtensionNumberResponse: ...
    @property
    def list_services_response(self) -> ListServiceResponse: ...
    @property
    def error_response(self) -> ErrorResponse: ...
    def __init__(self, *, valid_host: str | None = ..., original_request: ServerReflectionRequest | None = ..., file_descriptor_response: FileDescriptorResponse | None = ..., all_extension_numbers_response: ExtensionNumberResponse | None = ..., list_services_response: ListServiceResponse | None = ..., error_response: ErrorResponse | None = ...) -> None: ...

class ServiceResponse(Message):
    name: str
    def __init__(self, *, name: str | None = ...) -> None: ...
