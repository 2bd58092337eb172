"""The REST requests of these benchmarks: one row of the small model, in TensorFlow Serving's form and in OIP's."""

from __future__ import annotations

import json

ROW = [0.5 + index * 0.0625 for index in range(16)]

TARGETS = {
    "v1": ("/v1/models/mlp:predict", json.dumps({"instances": [ROW]}).encode()),
    "v2": (
        "/v2/models/mlp/infer",
        json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32", "data": ROW}]}).encode(),
    ),
}
"""Name -> path and body."""


def message(form: str) -> bytes:
    """Return a request as HTTP/1.1, with the headers of a plain client."""
    path, body = TARGETS[form]
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:8501\r\nuser-agent: bench\r\naccept: */*\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
