"""An ASGI application that carries RPCs and HTTP, for foreign servers that own process and event loop."""
