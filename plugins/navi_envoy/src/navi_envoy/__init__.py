"""gRPC and REST on one port, through Envoy."""
