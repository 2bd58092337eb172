"""One inference request from its parsed form to named arrays, whatever wire it came over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call
from navi_core.contracts.service_context import OffLoop, run_at_once
from navi_core.errors import ErrorCode, InvalidRequestError, NaviError, SignatureNotFoundError
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.services.oip.classification import class_count, classify
from navi_core.services.oip.errors import Asked
from navi_core.services.oip.parameters import RequestSettings, read_parameters, refuse_shared_memory
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.types import NamedArrays
from navi_core.wire.oip_request import InferTerms, ParsedInferRequest, RequestedOutput

__all__ = ["Answered", "FailedRequest", "Inference", "model_ref", "served_signature"]

_MAX_VERSION: Final = 2**63 - 1


class FailedRequest(Exception):  # noqa: N818 - it carries the error, it is none itself
    """An inference request that failed.

    Parameters
    ----------
    error
        Why.
    asked
        What it asked for, as far as it was understood.
    """

    def __init__(self, error: NaviError, asked: Asked) -> None:
        super().__init__(error)
        self.error = error
        self.asked = asked


@dataclass(slots=True)
class Answered:
    """An inference request and its answer.

    Parameters
    ----------
    request, settings
        What was asked for.
    response
        What came; to be released once ``outputs`` are written.
    outputs
        Name -> array, in the order asked for.
    """

    request: ParsedInferRequest
    settings: RequestSettings
    response: InferenceResponse
    outputs: NamedArrays


@dataclass(slots=True)
class _Settled:
    """What a request's terms come to.

    Parameters
    ----------
    ref
        The model.
    settings
        What its parameters ask for.
    outputs
        The names of what it asks for; empty: everything.
    """

    ref: ModelRef
    settings: RequestSettings
    outputs: tuple[str, ...]


def model_ref(name: str, version: str) -> ModelRef:
    """Return the model and version that a request names; an empty version is the newest.

    Raises
    ------
    InvalidRequestError
        No model is named, or the version is no number.
    """
    if not name:
        raise InvalidRequestError("no model name in request")
    return _ref(name, version)


@lru_cache(maxsize=256)
def _ref(name: str, version: str) -> ModelRef:
    """Read a name and a version: the same few over and over."""
    if not version:
        return ModelRef(name)
    if not (version.isascii() and version.isdigit()) or len(version) > 19 or int(version) > _MAX_VERSION:
        raise InvalidRequestError(
            f"failed to get model version from specified version string '{version[:64]}': "
            "version should be an integral value > 0"
        )
    return ModelRef(name, version=int(version))


def served_signature(signatures: Mapping[str, Signature], model: str) -> tuple[str, Signature]:
    """Return the signature that the protocol, which knows none, shows: the default one, or a lone one.

    Raises
    ------
    SignatureNotFoundError
        There are others, and none is the default.
    """
    found = signatures.get(DEFAULT_SIGNATURE)
    if found is not None:
        return DEFAULT_SIGNATURE, found
    if len(signatures) == 1:
        ((name, lone),) = signatures.items()
        return name, lone
    raise SignatureNotFoundError(DEFAULT_SIGNATURE, model=model, known=tuple(signatures))


class Inference:
    """Answers parsed requests.

    Parameters
    ----------
    plane
        Answers requests.
    service
        The service's name, for metrics.
    now
        The monotonic clock, in seconds.
    max_tensor_bytes
        The most bytes that the tensors of one request may become.
    """

    def __init__(
        self, plane: DataPlane, *, service: str, now: Callable[[], float], max_tensor_bytes: int
    ) -> None:
        self._plane = plane
        self._service = service
        self._now = now
        self._max_tensor_bytes = max_tensor_bytes

    async def answer(
        self,
        parse: Callable[[], ParsedInferRequest],
        call: Call,
        *,
        body_bytes: int,
        method: str,
        target: tuple[str, str] | None = None,
        deadline: float | None = None,
        run: OffLoop = run_at_once,
    ) -> Answered:
        """Answer one request.

        The model is looked up before its tensors are decoded, so that an unknown model is what a client
        is told of first.

        Parameters
        ----------
        parse
            Parses the request; may raise RequestErrors.
        call
            Where it came from.
        body_bytes
            The size of what the tensors are views of.
        method
            For metrics.
        target
            Model and version where they are not in the request.
        deadline
            The transport's.
        run
            Where the request is parsed and its tensors are decoded.

        Raises
        ------
        FailedRequest
            Whatever is wrong.
        """
        asked = Asked(request_id="")
        try:
            request = parse() if run is run_at_once else await run(parse)
            asked.request_id = request.id
            terms = request.terms
            settled: _Settled = terms.settled or self._settle(terms, target, asked)
            settings = settled.settings
            asked.ref = settled.ref
            handle = self._plane.acquire(settled.ref)
        except NaviError as error:
            raise self._refused(error, asked, call, method) from None
        except Exception:
            raise
        except BaseException:  # the client went while its body was read
            self._count_gone(asked, call, method)
            raise
        signature: str | None = None
        with handle:
            try:
                signature, asked.signature = served_signature(handle.signatures, handle.model)
                classes = _classes(terms.outputs)
                limit = self._max_tensor_bytes
                if run is run_at_once:
                    inputs = request.decode_inputs(limit, asked.signature)
                else:
                    inputs = await run(partial(request.decode_inputs, limit, asked.signature))
                prepared = InferenceRequest(
                    inputs=inputs,
                    signature=signature,
                    outputs=settled.outputs,
                    parameters=settings.custom,
                    deadline=self._deadline(deadline, settings),
                    priority=settings.priority,
                    body_bytes=body_bytes,
                    service=self._service,
                    transport=call.transport,
                    method=method,
                )
            except NaviError as error:
                raise self._refused(error, asked, call, method, signature) from None
            except Exception:
                raise
            except BaseException:
                self._count_gone(asked, call, method, signature)
                raise
            try:
                response = await handle.infer(prepared)
            except NaviError as error:
                raise FailedRequest(error, asked) from None
        outputs = response.outputs
        if classes:
            outputs = self._classified(response, classes, asked)
        return Answered(request, settings, response, outputs)

    def _settle(self, terms: InferTerms, target: tuple[str, str] | None, asked: Asked) -> _Settled:
        """See what a request asks for, and keep it with the terms: all requests that share them come the same way."""
        name, version = target or (terms.model_name, terms.model_version)
        asked.ref = model_ref(name, version)
        settings = read_parameters(terms.parameters, over_grpc=target is None)
        refuse_shared_memory(terms)
        terms.settled = settled = _Settled(asked.ref, settings, tuple([each.name for each in terms.outputs]))
        return settled

    def _deadline(self, deadline: float | None, settings: RequestSettings) -> float | None:
        if not settings.timeout_us:
            return deadline
        own = self._now() + settings.timeout_us / 1e6
        return own if deadline is None else min(own, deadline)

    def _classified(
        self, response: InferenceResponse, classes: Mapping[str, int], asked: Asked
    ) -> NamedArrays:
        signature = asked.signature
        is_batched = signature is not None and signature.batchable
        try:
            return {
                name: classify(array, classes[name], is_batched=is_batched, output=name)
                if name in classes
                else array
                for name, array in response.outputs.items()
            }
        except NaviError as error:
            response.release()
            raise FailedRequest(error, asked) from None

    def _count_gone(self, asked: Asked, call: Call, method: str, signature: str | None = None) -> None:
        gone = NaviError("the client has gone", code=ErrorCode.CANCELLED)
        self._refused(gone, asked, call, method, signature)

    def _refused(
        self, error: NaviError, asked: Asked, call: Call, method: str, signature: str | None = None
    ) -> FailedRequest:
        self._plane.refused(
            asked.ref,
            error,
            service=self._service,
            transport=call.transport,
            method=method,
            signature=signature,
        )
        return FailedRequest(error, asked)


def _classes(outputs: tuple[RequestedOutput, ...]) -> dict[str, int]:
    """Return output -> number of classes, of those that are to be classified."""
    if not outputs:
        return {}
    return {
        each.name: count
        for each in outputs
        if each.parameters and (count := class_count(each.parameters, each.name))
    }
