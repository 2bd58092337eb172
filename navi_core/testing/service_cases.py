"""What the cases of the service suite have in common: what a subclass gives."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from navi_core.contracts.service import HttpRoute, Operation, RpcMethod, Service
from navi_core.contracts.service_context import ServiceContext
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.testing.service_stage import MODEL, UNKNOWN_MODEL, Reply, Sample, Stage, Target

__all__ = ["ServiceCases", "check_reply_text", "methods_and_routes"]

T = TypeVar("T")


class ServiceCases:
    """Base of the case classes; its attributes are described where they are inherited."""

    plugin_module: ClassVar[str] = ""
    heavy_modules: ClassVar[Sequence[str]] = (
        "grpc",
        "aiohttp",
        "uvloop",
        "onnxruntime",
        "tensorflow",
        "torch",
    )
    signature: ClassVar[Signature] = Signature(
        inputs={"x": TensorSpec(name="x", dtype=DType.FLOAT32, shape=(None,))},
        outputs={"y": TensorSpec(name="y", dtype=DType.FLOAT32, shape=(None,))},
        batchable=True,
    )
    signature_name: ClassVar[str] = DEFAULT_SIGNATURE
    model: ClassVar[str] = MODEL
    unknown_model: ClassVar[str] = UNKNOWN_MODEL
    seed: ClassVar[int] = 20221220
    patience_s: ClassVar[float] = 60.0

    # --- to override ------------------------------------------------------------------------------

    def make_service(self, context: ServiceContext) -> Service:
        """Return the service, built for a host."""
        raise NotImplementedError(f"{type(self).__name__} must override make_service()")

    def samples(self, model: str) -> Mapping[str, bytes | Sample | None]:
        """Return a request that is answered for every RPC and every route, in a fixed order.

        Keys are ``/package.Service/Method`` and ``VERB /path?query``; None: there is no such request. Requests
        that name a model name ``model``; the others are the same whatever it is.
        """
        raise NotImplementedError(f"{type(self).__name__} must override samples()")

    def says_not_found(self, where: str, reply: Reply) -> bool:
        """Tell whether a reply says that there is no such model. Default: the protocol's status for it."""
        del where
        return reply.is_not_found and self.unknown_model in reply.text

    # --- the suite's own steps --------------------------------------------------------------------

    def _stage(self) -> Stage:
        return Stage(self.make_service, self.signature, self.model, self.signature_name)

    def _samples(self, model: str | None = None) -> dict[str, Sample | None]:
        return {
            where: Sample(body=sample) if isinstance(sample, bytes) else sample
            for where, sample in self.samples(self.model if model is None else model).items()
        }

    def _good(self, stage: Stage) -> Iterator[tuple[Target, Sample]]:
        """Yield every handler that has a sample, with it."""
        for where, sample in self._samples().items():
            if sample is not None:
                yield stage.target(where), sample

    def _inferring(self, stage: Stage) -> list[tuple[Target, Sample]]:
        found = [
            (target, sample) for target, sample in self._good(stage) if target.operation is Operation.INFER
        ]
        if not found:
            pytest.skip("no sample is an inference")
        return found

    def _run(self, case: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a case on a loop of its own; nothing may hang."""

        async def bounded() -> T:
            return await asyncio.wait_for(case(), self.patience_s)

        try:
            return asyncio.run(bounded())
        except TimeoutError:
            pytest.fail(f"a handler hangs: no end after {self.patience_s:g} s")


def check_reply_text(where: str, reply: Reply) -> None:
    """See that an error's text is one for people."""
    if reply.is_ok:
        return
    for word in ("Traceback", 'File "', "object at 0x"):
        assert word not in reply.text, f"{where}: an error shows the program's inside: {reply.text!r}"
    if reply.is_rpc:
        assert reply.text, f"{where}: status {reply.status} without a text"


def methods_and_routes(service: Service) -> Iterator[tuple[str, RpcMethod | HttpRoute]]:
    """Yield what a service registers, with a name for texts."""
    yield from service.rpc_methods().items()
    for route in service.http_routes():
        yield f"{route.verb} {route.pattern.pattern}", route
