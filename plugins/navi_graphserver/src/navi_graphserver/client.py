"""A client of GraphServer's protocol: register, replace and forget graphs, and ask them, with NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import grpc
import numpy as np

from navi_core import Array
from navi_graphserver.flat.arrays import flat_dtype
from navi_graphserver.flat.enums import Generation
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.messages import read_response, read_result, write_drop_request, write_request
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import Address, FlatGraph, FlatVariable
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.naming import NAME_METADATA

__all__ = ["Client", "GraphServerError"]

_UNLIMITED: Final = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class GraphServerError(Exception):
    """A server refused a call.

    Parameters
    ----------
    code
        gRPC's name of the status: ``NOT_FOUND``.
    details
        The server's words.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


class Client:
    """A connection to a GraphServer, navi's or DL4J's.

    Parameters
    ----------
    target
        ``host:port``.
    prefix
        The package that the server knows its service by; DL4J's in C++ is ``nd4j.graph``, later ``sd.graph``.
    timeout_s
        How long a call may take.
    generation
        The wire of graphs that this client did not register itself.
    """

    def __init__(
        self,
        target: str,
        *,
        prefix: str = "nd4j.graph",
        timeout_s: float = 30.0,
        generation: Generation | Literal[1, 2] = Generation.GEN2,
    ) -> None:
        self._channel = grpc.insecure_channel(target, options=_UNLIMITED)
        self._path: Final = f"/{prefix}.GraphInferenceServer"
        self._timeout_s: Final = timeout_s
        self._generation: Final = Generation(generation)
        self._generations: Final[dict[int, Generation]] = {}

    def register(self, graph: FlatGraph | bytes | Path, *, name: str = "") -> int:
        """Register a graph and return its id.

        Parameters
        ----------
        graph
            A graph, or the contents or the path of its file.
        name
            What other protocols of navi call it by, besides ``graph-<id>``; other servers take no notice.

        Raises
        ------
        GraphServerError
            Its id is taken, or the graph cannot be served.
        FlatBufferError
            It is no graph.
        """
        return self._put("RegisterGraph", graph, name)

    def replace(self, graph: FlatGraph | bytes | Path, *, name: str = "") -> int:
        """Replace the graph of its id, or register it, and return its id.

        Parameters
        ----------
        graph
            A graph, or the contents or the path of its file.
        name
            As for :meth:`register`; empty: it keeps the name that it has.

        Raises
        ------
        GraphServerError
            The graph cannot be served; the old one goes on.
        FlatBufferError
            It is no graph.
        """
        return self._put("ReplaceGraph", graph, name)

    def _put(self, method: str, graph: FlatGraph | bytes | Path, name: str) -> int:
        data = graph.read_bytes() if isinstance(graph, Path) else graph
        data = write_graph(data) if isinstance(data, FlatGraph) else data
        known = read_graph(data)
        status = read_response(self._call(method, data, ((NAME_METADATA, name),) if name else None))
        if status:
            raise GraphServerError("OK", f"{method} answered the status {status}")
        self._generations[known.id] = known.generation
        return known.id

    def forget(self, graph_id: int) -> None:
        """Have a graph forgotten; one that is not there is forgotten already.

        Raises
        ------
        GraphServerError
            The server refused.
        """
        self._call("ForgetGraph", write_drop_request(graph_id))
        self._generations.pop(graph_id, None)

    def infer(
        self, graph_id: int, inputs: Mapping[str | Address | int, Array], *, big_endian: bool = False
    ) -> dict[str, Array]:
        """Ask a graph.

        Parameters
        ----------
        graph_id
            The graph's id.
        inputs
            Name or address (an id alone is its first output) -> array.
        big_endian
            Send arrays as Java does.

        Returns
        -------
        outputs
            Name, or ``node:index`` where there is none -> array.

        Raises
        ------
        GraphServerError
            The server refused.
        FlatBufferError
            The answer cannot be read: the graph may be of the other generation than this client was told.
        """
        generation = self._generations.get(graph_id, self._generation)
        fed = [_variable(key, np.asarray(array)) for key, array in inputs.items()]
        body = write_request(graph_id, fed, generation, big_endian=big_endian)
        answer = self._call("InferenceRequest", body)
        try:
            variables = read_result(answer, generation)
        except FlatBufferError as error:
            if graph_id in self._generations:
                raise
            hint = f"read as generation {int(generation)}; graphs up to 2018 are of generation 1, later ones of 2"
            raise FlatBufferError(f"{error.problem} ({hint})", error.place) from None
        return {each.name or str(each.address): each.array for each in variables if each.array is not None}

    def _call(self, method: str, body: bytes, metadata: tuple[tuple[str, str], ...] | None = None) -> bytes:
        ask = self._channel.unary_unary(f"{self._path}/{method}")
        try:
            answer: bytes = ask(body, timeout=self._timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise GraphServerError(error.code().name, error.details() or "") from None
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _variable(key: str | Address | int, array: Array) -> FlatVariable:
    dtype = flat_dtype(array)
    if isinstance(key, str):
        return FlatVariable(address=Address(0), name=key, dtype=dtype, array=array)
    address = key if isinstance(key, Address) else Address(key)
    return FlatVariable(address=address, dtype=dtype, array=array)
