"""What takes part: each turns request number i of a ring into the rows number i of its ring."""

from __future__ import annotations

import contextlib
import ctypes
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from baseline_cpp import SPECS, Baseline, NotBuiltError, build
from cases import Case
from mapping import COLUMNS, DTYPES, EMBEDDING_IDS, WIDTHS, write_mapping_files
from navi_dr_transform import load_converter
from scatter import Scatter

NAVI, CPP, CPP_VIRTUAL = "navi", "Apache Thrift C++, templates", "Apache Thrift C++"
PYTHON, THRIFTPY, MEMCPY = "Apache Thrift Python", "thriftpy2", "memcpy"
SLOW = frozenset({PYTHON, THRIFTPY})
Call = Callable[[int], None]
_KEEP = {-1: 1 << 30, -3: 1 << 30, -2: 64 << 20}
"""mallopt: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (as far as it can be raised), M_TOP_PAD."""


def keep_freed_memory() -> None:
    """Have glibc keep what is freed: decoding into objects would otherwise fault the same pages in anew each time."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _KEEP.items():
            mallopt(option, value)


class World:
    """The feature map that all share, and what could be built here.

    Attributes
    ----------
    left_out
        Contender -> why it is not there.
    versions
        Contender -> of what.
    """

    def __init__(self, *, cpp: bool = True, python: bool = True) -> None:
        keep_freed_memory()
        with tempfile.TemporaryDirectory() as folder:
            write_mapping_files(Path(folder))
            self.converter = load_converter(folder)
        self.left_out: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self._baseline: Baseline | None = None
        if cpp:
            try:
                library, self.versions[CPP] = build()
                self._baseline = Baseline(library, COLUMNS, EMBEDDING_IDS, WIDTHS)
            except NotBuiltError as error:
                self.left_out[CPP] = str(error)
        self._decoders: dict[str, Callable[[bool], Callable[[bytes], Any]]] = {}
        if python:
            for name, make in ((PYTHON, apache_decoder), (THRIFTPY, thriftpy_decoder)):
                try:
                    make(False)
                    self._decoders[name] = make
                    self.versions[name] = version("thrift" if name == PYTHON else "thriftpy2")
                except ImportError as error:
                    self.left_out[name] = f"it cannot be imported: {error}"

    def allocate(self, rows: int) -> list[np.ndarray]:
        """Return written rows of the six tensors: their pages are there."""
        tensors = [np.empty((rows, width), dtype) for width, dtype in zip(WIDTHS, DTYPES, strict=True)]
        for tensor in tensors:
            tensor.fill(-1)
        return tensors

    @property
    def row_size_bytes(self) -> int:
        """Of all tensors."""
        return sum(tensor.nbytes for tensor in self.allocate(1))

    def contenders(
        self, case: Case, payloads: Sequence[bytes], out: Sequence[Sequence[np.ndarray]]
    ) -> dict[str, Call]:
        """Return name -> call; all write into the same rows."""
        calls = {NAVI: self._navi(payloads, out)}
        if self._baseline is not None:
            baseline = self._baseline
            pointers = [Baseline.pointers(tensors) for tensors in out]
            for name, templates in ((CPP, True), (CPP_VIRTUAL, False)):
                calls[name] = _cpp(baseline, payloads, pointers, compact=case.compact, templates=templates)
        scatter = Scatter(COLUMNS, EMBEDDING_IDS, compact=case.compact)
        for name, make in self._decoders.items():
            calls[name] = _python(make(case.compact), scatter, payloads, out)
        calls[MEMCPY] = _memcpy(payloads, out)
        return calls

    def _navi(self, payloads: Sequence[bytes], out: Sequence[Sequence[np.ndarray]]) -> Call:
        """Measure and fill, as the host does, into rows that are there."""
        decoder = self.converter.decoder
        requests = [[payload] for payload in payloads]
        outs = [dict(zip(decoder.widths, tensors, strict=True)) for tensors in out]

        def call(index: int) -> None:
            decoder.fill(decoder.measure(requests[index]), outs[index])

        return call


def _cpp(
    baseline: Baseline, payloads: Sequence[bytes], pointers: Sequence[Any], *, compact: bool, templates: bool
) -> Call:
    def call(index: int) -> None:
        baseline.convert(payloads[index], pointers[index], compact=compact, templates=templates)

    return call


def _python(
    decode: Callable[[bytes], Any],
    scatter: Scatter,
    payloads: Sequence[bytes],
    out: Sequence[Sequence[np.ndarray]],
) -> Call:
    def call(index: int) -> None:
        scatter.write(decode(payloads[index]), out[index])

    return call


def _memcpy(payloads: Sequence[bytes], out: Sequence[Sequence[np.ndarray]]) -> Call:
    """Copy the request's bytes to one place, and one ready set of tensors to the rows.

    Both stay in the cache as far as they fit, as what was decoded a moment ago would.
    """
    requests = [np.frombuffer(payload, np.uint8) for payload in payloads]
    inbox = np.zeros(max(map(len, requests)), np.uint8)
    boxes = [inbox[: len(request)] for request in requests]
    ready = [tensor.copy() for tensor in out[0]]

    def call(index: int) -> None:
        np.copyto(boxes[index], requests[index])
        for tensor, source in zip(out[index], ready, strict=True):
            np.copyto(tensor, source)

    return call


# --- decoders of Python ------------------------------------------------------------------------------------


def apache_decoder(compact: bool) -> Callable[[bytes], Any]:
    """Return Apache Thrift's own, in C; it is asked not to fall back to Python."""
    import thrift.protocol.fastbinary  # noqa: F401 - left out where it was not built
    from navi_dr_transform._generated.data.ttypes import CompactDataRecord
    from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
    from thrift.Thrift import TType
    from thrift.TSerialization import deserialize

    record = [CompactDataRecord, CompactDataRecord.thrift_spec]

    class CompactRequest:
        thrift_spec = (
            None,
            (1, TType.LIST, "individualFeaturesList", (TType.STRUCT, record, False), None),
            (2, TType.STRUCT, "commonFeatures", record, None),
        )

        def __init__(self) -> None:
            self.individualFeaturesList: Any = None
            self.commonFeatures: Any = None

        def read(self, protocol: Any) -> None:
            protocol._fast_decode(self, protocol, [self.__class__, self.thrift_spec])  # noqa: SLF001 - as generated

    factory = TBinaryProtocolAcceleratedFactory(fallback=False)
    request = CompactRequest if compact else BatchPredictionRequest
    return lambda payload: deserialize(request(), payload, factory)


def thriftpy_decoder(compact: bool) -> Callable[[bytes], Any]:
    """Return thriftpy2's, in Cython."""
    import thriftpy2
    from thriftpy2.protocol import TCyBinaryProtocolFactory
    from thriftpy2.utils import deserialize

    here = Path(__file__).parent
    folder, file, name = (
        (here, "compact.thrift", "CompactBatchPredictionRequest")
        if compact
        else (SPECS, "prediction_service.thrift", "BatchPredictionRequest")
    )
    module = thriftpy2.load(
        str(folder / file), module_name=f"{file.removesuffix('.thrift')}_thrift", include_dirs=[str(SPECS)]
    )
    request: Mapping[str, Any] = vars(module)
    factory = TCyBinaryProtocolFactory()
    return lambda payload: deserialize(request[name](), payload, factory)
