"""Open Inference Protocol v2 (KServe, Triton): gRPC and REST."""
