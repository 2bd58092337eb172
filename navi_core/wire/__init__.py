"""Wire codecs: bytes and JSON to named arrays and back. No sockets, no services."""
