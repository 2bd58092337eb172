"""Proton's protocol: one float32 tensor in, one out, over gRPC and REST."""
