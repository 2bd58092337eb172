"""Networks of other libraries as graphs: PyTorch's modules and ONNX's models, perceptrons and convolutional ones."""

from __future__ import annotations

from navi_graphserver.export.onnx_model import export_onnx
from navi_graphserver.export.torch_modules import export_torch
from navi_graphserver.export.writer import ExportError

__all__ = ["ExportError", "export_onnx", "export_torch"]
