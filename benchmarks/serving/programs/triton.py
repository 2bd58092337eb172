"""Triton with its Python backend (from nvidia-pytriton's wheel), or with its C++ ONNX backend where it is installed.

    python triton.py python|onnxruntime GRPC_PORT HTTP_PORT MODELS FOLDER [TRITON_DIR]

Writes a model repository (and a folder of backends) into FOLDER and becomes tritonserver.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

WIDTHS = {"mlp": (16, 4), "recap": (5293, 10)}
CONFIG = """
name: "{name}"
backend: "{backend}"
max_batch_size: 256
input [{{ name: "x" data_type: TYPE_FP32 dims: [{width_in}] }}]
output [{{ name: "y" data_type: TYPE_FP32 dims: [{width_out}] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
dynamic_batching {{ }}
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
"""
PYTHON_MODEL = """
import sys

sys.path[:0] = {paths!r}  # the stub embeds Python and knows no virtual environment

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession({model!r}, options)

    def execute(self, requests):
        arrays = [pb_utils.get_input_tensor_by_name(each, "x").as_numpy() for each in requests]
        x = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        [y] = self.session.run(["y"], {{"x": x}})
        answers, begin = [], 0
        for array in arrays:
            tensor = pb_utils.Tensor("y", y[begin:begin + len(array)])
            answers.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
            begin += len(array)
        return answers
"""


def write_repository(folder: Path, models: Path, backend: str) -> None:
    for name, (width_in, width_out) in WIDTHS.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        config = CONFIG.format(name=name, backend=backend, width_in=width_in, width_out=width_out)
        (folder / name / "config.pbtxt").write_text(config)
        source = models / name / "1" / "model.onnx"
        if backend == "python":
            (version / "model.py").write_text(PYTHON_MODEL.format(model=str(source), paths=sys.path[1:]))
        else:
            shutil.copy(source, version)


def main() -> None:
    backend, grpc_port, http_port = sys.argv[1:4]
    models, folder = Path(sys.argv[4]), Path(sys.argv[5])
    shutil.rmtree(folder, ignore_errors=True)
    repository, backends, environ = folder / "repository", folder / "backends", dict(os.environ)
    write_repository(repository, models, backend)
    if backend == "python":
        import pytriton

        package = Path(pytriton.__file__).parent
        home, libraries = package / "tritonserver", package.parent / "nvidia_pytriton.libs"
        shutil.copytree(home / "backends", backends)
        stub = f"{sys.version_info[0]}.{sys.version_info[1]}/triton_python_backend_stub"
        shutil.copy(home / "python_backend_stubs" / stub, backends / "python")
        paths = [str(libraries), f"{sys.base_prefix}/lib", environ.get("LD_LIBRARY_PATH", "")]
        environ["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
    else:
        home = Path(sys.argv[6])
        backends = home / "backends"
    server = str(home / "bin" / "tritonserver")
    arguments = [
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--grpc-port={grpc_port}",
        f"--http-port={http_port}",
        "--allow-metrics=false",
        "--grpc-address=127.0.0.1",
        "--http-address=127.0.0.1",
    ]
    os.execve(server, [server, *arguments], environ)


if __name__ == "__main__":
    main()
