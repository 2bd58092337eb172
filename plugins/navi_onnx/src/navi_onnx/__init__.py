"""ONNX models on navi, run by ONNX Runtime."""
