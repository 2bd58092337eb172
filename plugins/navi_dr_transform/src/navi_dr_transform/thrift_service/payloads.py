"""What a call asks about, as the payloads that a model takes; and what its converter wrote, as the call's result.

Payloads are the request's own bytes, cut out of it or with the bytes of a struct around them: nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from navi_core import Array, DecodeError, ErrorCode, InferenceError, InvalidRequestError
from navi_dr_transform.payload_encoder import PREDICTION_START, STOP, STRUCTS, PayloadForm

__all__ = ["MANY_RECORDS", "Asked", "Scanner", "form_of", "read_asked", "written_result"]

MANY_RECORDS: Final = 512
"""So many take a millisecond and more to be written or cut out: others are served meanwhile."""

_MOST_PAYLOADS: Final = 65_536
"""Of one call: an empty record is one byte of a batch, and a string of its own for a model that takes single ones."""

_FORMS: Final[Mapping[str, PayloadForm]] = {struct: form for form, struct in STRUCTS.items()}
_LIST_START: Final = b"\x0f\x00\x01\x0c"  # field 1, a list of structs
_ONE_RECORD: Final = _LIST_START + b"\x00\x00\x00\x01"


class Scanner(Protocol):
    """The module ``scanner``, whose import compiles or loads a kernel."""

    def find_argument(self, body: bytes | memoryview, /) -> tuple[int, int] | None:
        """Return where field 1 of a struct lies, if it is a struct."""
        ...

    def find_records(self, batch: bytes, most: int, /) -> tuple[Sequence[tuple[int, int]], bool]:
        """Return where a batch's records lie, and whether it has common features."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks about.

    Parameters
    ----------
    argument
        A BatchPredictionRequest, or a PredictionRequest.
    record
        The DataRecord of a PredictionRequest; None: the argument is a batch.
    """

    argument: bytes
    record: bytes | None

    @property
    def is_batch(self) -> bool:
        """Whether the call is a getBatchPrediction."""
        return self.record is None

    @property
    def num_records_at_most(self) -> int:
        """As many records as the argument has room for: an empty one is a byte."""
        return len(self.argument) if self.is_batch else 1

    def payloads(self, form: PayloadForm, model: str, scanner: Scanner) -> list[bytes]:
        """Return what a model takes.

        Parameters
        ----------
        form
            What one payload is.
        model
            The model's name, for error texts.
        scanner
            Finds records.

        Raises
        ------
        DecodeError
            The batch is malformed; with the offset.
        InvalidRequestError
            The model takes records one by one, and the batch has features that all share (the code is
            FAILED_PRECONDITION), or too many records.
        """
        if self.record is not None:
            if form == "batch":
                return [b"".join((_ONE_RECORD, self.record, STOP))]
            return [self.argument if form == "prediction" else self.record]
        if form == "batch":
            return [self.argument]
        records, has_common = scanner.find_records(self.argument, _MOST_PAYLOADS)
        if has_common:
            msg = (
                f"model '{model}': expected a batch without commonFeatures, for it takes one {STRUCTS[form]} at a time "
                f"(its converter's option request is '{form}'): with request = 'batch' it takes batches"
            )
            raise InvalidRequestError(msg, model=model, code=ErrorCode.FAILED_PRECONDITION)
        start, end = (PREDICTION_START, STOP) if form == "prediction" else (b"", b"")
        return [b"".join((start, self.argument[first:stop], end)) for first, stop in records]


def read_asked(body: bytes | memoryview, method: str, scanner: Scanner) -> Asked:
    """Read the arguments struct of ``getPrediction`` or ``getBatchPrediction``.

    Raises
    ------
    DecodeError
        It is malformed, or lacks something that the method needs.
    """
    found = scanner.find_argument(body)
    if found is None:
        raise DecodeError(f"{method}: expected an argument, got none")
    argument = bytes(memoryview(body)[slice(*found)])
    if method == "getBatchPrediction":
        return Asked(argument, None)
    found = scanner.find_argument(argument)
    if found is None:
        raise DecodeError("PredictionRequest: expected the required field 'features', got the struct's end")
    return Asked(argument, argument[slice(*found)])


def form_of(content: str, model: str) -> PayloadForm:
    """Return what the strings of a model's input are, by what its converter says of them.

    Parameters
    ----------
    content
        The struct's name; empty: nobody says, as for models that read batches themselves.
    model
        The model's name, for error texts.

    Raises
    ------
    InvalidRequestError
        They are something else; the code is FAILED_PRECONDITION.
    """
    if not content:
        return "batch"
    form = _FORMS.get(content)
    if form is None:
        msg = (
            f"model '{model}': expected one whose strings are {', '.join(_FORMS)} (converter = 'bpr'), "
            f"got one whose strings are {content}"
        )
        raise InvalidRequestError(msg, model=model, code=ErrorCode.FAILED_PRECONDITION)
    return form


def written_result(array: Array, asked: Asked, form: PayloadForm, model: str) -> bytes:
    """Return the responses that a converter wrote as one BatchPredictionResponse, or one PredictionResponse.

    Parameters
    ----------
    array
        (payloads,) object array of ``bytes``.
    asked
        What they answer.
    form
        What the payloads were, and so what the responses are.
    model
        The model's name, for error texts.

    Raises
    ------
    InferenceError
        They are no such responses.
    """
    responses = array.reshape(-1).tolist()
    is_one = form == "batch" or not asked.is_batch
    if not all(isinstance(each, bytes) for each in responses) or (is_one and len(responses) != 1):
        msg = f"model '{model}': expected one response for each string, got {array.dtype} of shape {array.shape}"
        raise InferenceError(msg, model=model)
    if form == "batch":
        return responses[0] if asked.is_batch else _first_prediction(responses[0], model)
    if not asked.is_batch:
        return responses[0] if form == "prediction" else b"".join((PREDICTION_START, responses[0], STOP))
    if form == "prediction":
        cut = len(PREDICTION_START), -len(STOP)
        responses = [memoryview(each)[slice(*cut)] for each in responses]
    return b"".join((_LIST_START, len(responses).to_bytes(4, "big"), *responses, STOP))


def _first_prediction(response: bytes, model: str) -> bytes:
    """Return a BatchPredictionResponse of one prediction as a PredictionResponse: only the beginning differs."""
    if not response.startswith(_ONE_RECORD):
        raise InferenceError(f"model '{model}': expected one prediction for one record", model=model)
    return b"".join((PREDICTION_START, memoryview(response)[len(_ONE_RECORD) :]))
