"""ReflectionService: gRPC server reflection, v1 and v1alpha, over every service of the host.

The two versions have the same messages under two package names, so one handler answers both. What is
not found is said inside the stream, which goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, Self

from navi_core.contracts.service import Call, Operation, Response, RpcKind, RpcMethod, Service, StreamError
from navi_core.contracts.service_context import ServiceContext
from navi_core.errors import DecodeError
from navi_core.services.reflection.index import DescriptorIndex
from navi_core.types import Bytes
from navi_core.wire import grpc_reflection, grpc_reflection_v1alpha
from navi_core.wire.descriptors import parse_message
from navi_core.wire.json_shown import printable

if TYPE_CHECKING:
    from navi_core.wire.grpc_reflection import ServerReflectionRequest, ServerReflectionResponse

__all__ = ["ReflectionService"]

_METHODS: Final = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)

_INVALID_ARGUMENT: Final = 3
_NOT_FOUND: Final = 5


class ReflectionService(Service):
    """Tells clients which services there are, and their definitions.

    Parameters
    ----------
    context
        What the host offers.
    """

    name: ClassVar[str] = "reflection"
    # joined, two serialized messages of one type are one message with the fields of both
    descriptor_set: ClassVar[bytes | None] = (
        grpc_reflection.DESCRIPTORS.serialized + grpc_reflection_v1alpha.DESCRIPTORS.serialized
    )

    def __init__(self, context: ServiceContext) -> None:
        self._rpc_services: Final = context.rpc_services
        self._descriptor_sets: Final = context.descriptor_sets

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return the one RPC under the names of both versions; a READ operation."""
        method = RpcMethod(kind=RpcKind.BIDI, handler=self._info, operation=Operation.READ)
        return dict.fromkeys(_METHODS, method)

    @cached_property
    def _index(self) -> DescriptorIndex:
        # made with the first question: most hosts are never asked
        return DescriptorIndex(self._descriptor_sets())

    async def _info(self, call: Call) -> Response:
        return Response(status=0, stream=self._answers(call.messages))

    async def _answers(self, messages: AsyncIterator[Bytes]) -> AsyncIterator[bytes]:
        async for body in messages:
            try:
                request = parse_message(grpc_reflection.ServerReflectionRequest, body)
            except DecodeError as error:
                raise StreamError(_INVALID_ARGUMENT, error.message) from None
            yield self._answer(request).SerializeToString()

    def _answer(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        answer = grpc_reflection.ServerReflectionResponse(valid_host=request.host)
        answer.original_request.CopyFrom(request)
        match request.WhichOneof("message_request"):
            case "file_by_filename":
                name = request.file_by_filename
                _find(answer, f"file '{name}'", lambda: self._index.file(name))
            case "file_containing_symbol":
                name = request.file_containing_symbol
                _find(answer, f"symbol '{name}'", lambda: self._index.file_of_symbol(name))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                message, number = wanted.containing_type, wanted.extension_number
                what = f"extension {number} of message '{message}'"
                _find(answer, what, lambda: self._index.file_of_extension(message, number))
            case "all_extension_numbers_of_type":
                self._list_extensions(answer, request.all_extension_numbers_of_type)
            case "list_services":
                for service in sorted(self._rpc_services()):
                    answer.list_services_response.service.add(name=service)
            case _:
                answer.error_response.error_code = _INVALID_ARGUMENT
                answer.error_response.error_message = (
                    "message_request: expected one of its fields to be set, got none"
                )
        return answer

    def _list_extensions(self, answer: ServerReflectionResponse, message: str) -> None:
        try:
            numbers = self._index.extension_numbers(message)
        except KeyError:
            _not_found(answer, f"message '{message}'")
            return
        answer.all_extension_numbers_response.base_type_name = message
        answer.all_extension_numbers_response.extension_number.extend(numbers)


def _find(answer: ServerReflectionResponse, what: str, find: Callable[[], Sequence[bytes]]) -> None:
    try:
        files = find()
    except KeyError:
        _not_found(answer, what)
        return
    answer.file_descriptor_response.file_descriptor_proto.extend(files)


def _not_found(answer: ServerReflectionResponse, what: str) -> None:
    answer.error_response.error_code = _NOT_FOUND
    answer.error_response.error_message = f"{printable(what)} is not known here"
