"""The gRPC transport, on grpcio's asyncio server."""
