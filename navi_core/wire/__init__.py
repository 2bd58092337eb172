"""Wire formats: protobuf messages and tensor codecs. No sockets, no services."""
