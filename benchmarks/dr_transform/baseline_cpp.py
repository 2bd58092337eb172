"""Builds ``baseline.cpp`` with Debian's thrift-compiler, libthrift-dev and libboost-dev, and calls it."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SPECS = ROOT / "specs" / "thrift"
BUILD = ROOT / "build" / "dr_transform"
IDL = [
    *(SPECS / f"{name}.thrift" for name in ("tensor", "data", "prediction_service")),
    HERE / "compact.thrift",
]
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fPIC", "-shared")
NEEDED = "Debian's thrift-compiler, libthrift-dev, libboost-dev and g++"


class NotBuiltError(Exception):
    """Why there is no C++ baseline."""


def build() -> tuple[Path, str]:
    """Return the library, built unless it is there, and the versions of compiler and Thrift."""
    compiler, thrift = shutil.which("g++"), shutil.which("thrift")
    if compiler is None or thrift is None:
        raise NotBuiltError(f"{'g++' if compiler is None else 'thrift'} is not there; it takes {NEEDED}")
    versions = [_run(compiler, "--version").splitlines()[0], _run(thrift, "--version").strip()]
    digest = hashlib.sha256("\n".join([*FLAGS, *versions, _cpu()]).encode())
    for source in (*IDL, HERE / "baseline.cpp"):
        digest.update(source.read_bytes())
    library = BUILD / f"baseline-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            for idl in IDL:
                _run(thrift, "-I", str(SPECS), "--gen", "cpp:templates,no_skeleton", "-out", folder, str(idl))
            sources = [str(HERE / "baseline.cpp"), *map(str, Path(folder).glob("*_types.cpp"))]
            made = Path(folder) / "baseline.so"
            _run(compiler, *FLAGS, f"-I{folder}", *sources, "-lthrift", "-o", str(made))
            made.rename(library)
    return library, f"{versions[1]}, {versions[0]}, {' '.join(FLAGS[:2])}"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[:8])
        raise NotBuiltError(f"{Path(command[0]).name} failed ({NEEDED} are needed):\n{said}")
    return done.stdout


def _cpu() -> str:
    """Return what code for this very processor depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line for line in lines if line.startswith("flags")), "")


class Baseline:
    """A feature map in the library's hands.

    Parameters
    ----------
    columns
        Feature id -> tensor's number and column.
    embedding_ids
        Of the three embeddings.
    widths
        Of the six tensors.
    """

    def __init__(
        self,
        library: Path,
        columns: Mapping[int, tuple[int, int]],
        embedding_ids: Sequence[int],
        widths: Sequence[int],
    ) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.baseline_open.restype = ctypes.c_void_p
        self._convert = self._library.baseline_convert
        self._convert.restype = ctypes.c_int64
        self._convert.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        places = list(columns.values())
        arrays = [
            np.array(list(columns), np.int64),
            np.array([kind for kind, _ in places], np.int32),
            np.array([column for _, column in places], np.int32),
            np.array(embedding_ids, np.int64),
            np.array(widths, np.int64),
        ]
        self._layout = self._library.baseline_open(
            ctypes.c_int64(len(places)), *(ctypes.c_void_p(array.ctypes.data) for array in arrays)
        )

    @staticmethod
    def pointers(tensors: Sequence[np.ndarray]) -> ctypes.Array:
        """Return the addresses of six tensors, to be kept with them."""
        return (ctypes.c_void_p * 6)(*(tensor.ctypes.data for tensor in tensors))

    def convert(self, payload: bytes, out: ctypes.Array, *, compact: bool, templates: bool) -> None:
        """Decode one request into rows."""
        if self._convert(self._layout, payload, len(payload), compact, templates, out) < 0:
            raise ValueError("Apache Thrift C++ cannot read the request")
