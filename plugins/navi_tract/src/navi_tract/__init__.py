"""ONNX and NNEF models on navi, run by tract."""
