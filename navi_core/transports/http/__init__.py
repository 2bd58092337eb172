"""The HTTP/1.1 transport, on aiohttp's low-level server."""
