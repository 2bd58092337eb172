"""GraphServer's FlatBuffers: graphs, requests and results, in both generations of the wire."""
