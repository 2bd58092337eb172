"""GraphServer's gRPC service."""
