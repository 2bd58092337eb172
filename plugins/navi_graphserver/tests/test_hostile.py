"""Damaged graphs and requests over real gRPC: each is answered, the process lives, and others get their answers.

``NAVI_TEST_MUTATIONS`` makes it larger.
"""

from __future__ import annotations

import os
import random
import struct

import numpy as np
import pytest
from navi_graphserver import Address, Client, GraphServerError
from navi_graphserver.flat.enums import DType, Generation
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.messages import read_result, write_drop_request, write_request
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import FlatVariable
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.testing import affine_graph, constant, counting_graph, custom, graph_of, placeholder

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

NUM_MUTATIONS = int(os.environ.get("NAVI_TEST_MUTATIONS", "300"))
WITNESS, LOOP = 1000, 1001
X = np.arange(6, dtype=np.float32).reshape(2, 3)
ANSWERS = {
    "OK",
    "INVALID_ARGUMENT",
    "UNKNOWN",
    "INTERNAL",
    "NOT_FOUND",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
}


def truncated(data, source):
    return bytes(data[: source.randrange(len(data))])


def with_flipped_bytes(data, source):
    data = bytearray(data)
    for _ in range(source.randint(1, 4)):
        data[source.randrange(len(data))] = source.choice((0, 1, 127, 128, 255, source.randrange(256)))
    return bytes(data)


def with_an_offset_elsewhere(data, source):
    """Point to itself, to the beginning, to the end and beyond."""
    data = bytearray(data)
    place = 4 * source.randrange(len(data) // 4)
    offset = source.choice((0, 4, 2**32 - place, len(data) - place, len(data), 2**31, 2**32 - 1))
    struct.pack_into("<I", data, place, offset % 2**32)
    return bytes(data)


MUTATIONS = (truncated, with_flipped_bytes, with_flipped_bytes, with_an_offset_elsewhere)


def cyclic_graph():
    """Return a graph whose nodes wait for one another, without the nodes that loops have."""
    nodes = [custom(3, "add", [1, 4]), custom(4, "add", [3, 2], name="y")]
    return graph_of([placeholder(1, "x", (None, 3)), constant(2, "one", np.float32(1))], nodes, id=7)


def request(graph_id, generation=Generation.GEN2):
    x = FlatVariable(address=Address(1), name="x", dtype=DType.FLOAT, array=X)
    return write_request(graph_id, [x], generation)


def answer_to(client, method, body):
    """Return the code of an answer; one that none of these is would be a fault of the server's."""
    try:
        client._call(method, body)
    except GraphServerError as error:
        code, details = error.code, error.details
    else:
        code, details = "OK", ""
    assert code in ANSWERS, (method, code, details)
    assert "Traceback" not in details
    return code


def test_damaged_graphs_and_requests_are_answered_and_harm_nobody(graph_server):
    source = random.Random(7)
    graphs = [write_graph(graph) for graph in (affine_graph(), counting_graph(graph_id=7), cyclic_graph())]
    graphs.append(write_graph(affine_graph(), big_endian=True))
    codes = {"ReplaceGraph": {}, "InferenceRequest": {}}

    def count(method, body):
        code = answer_to(client, method, body)
        codes[method][code] = codes[method].get(code, 0) + 1
        return code

    server = graph_server()
    server.may_log_tracebacks = True
    with server as target, Client(target, timeout_s=2.0) as client, Client(target) as patient:
        patient.register(affine_graph(graph_id=WITNESS))
        patient.register(counting_graph(graph_id=LOOP))
        for number in range(NUM_MUTATIONS):
            if number % 2:
                count("InferenceRequest", source.choice(MUTATIONS)(request(WITNESS), source))
                continue
            body = source.choice(MUTATIONS)(source.choice(graphs), source)
            try:
                graph_id = read_graph(body).id
            except FlatBufferError:
                assert count("ReplaceGraph", body) in ("INVALID_ARGUMENT", "DEADLINE_EXCEEDED")
                continue
            if graph_id in (WITNESS, LOOP):
                continue
            if count("ReplaceGraph", body) == "OK":
                count("InferenceRequest", request(graph_id))
                patient._call("ForgetGraph", write_drop_request(graph_id))
            if number % 100 == 0:
                np.testing.assert_array_equal(patient.infer(WITNESS, {"x": X})["y"], X * 2 + 1)
        assert answer_to(patient, "ReplaceGraph", write_graph(cyclic_graph())) == "UNKNOWN"
        endless = {"x": np.float32(0), "limit": np.float32(np.inf)}
        with pytest.raises(GraphServerError, match="DEADLINE_EXCEEDED"):
            client.infer(LOOP, endless)
        answers = read_result(patient._call("InferenceRequest", request(WITNESS)), Generation.GEN2)
        np.testing.assert_array_equal(answers[0].array, X * 2 + 1)
        assert server.process.poll() is None
    assert codes["ReplaceGraph"]["OK"]
    assert codes["ReplaceGraph"]["INVALID_ARGUMENT"]
    assert codes["ReplaceGraph"]["UNKNOWN"]
    assert codes["InferenceRequest"]["OK"]
    assert codes["InferenceRequest"]["INVALID_ARGUMENT"]
