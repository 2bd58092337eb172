"""Graphs without control flow as ONNX models, run by ONNX Runtime."""
