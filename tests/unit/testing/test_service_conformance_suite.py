"""ServiceConformance passes a right service, and each defect fails the case that is about it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re

import numpy as np
import pytest

from navi_core.contracts.service import (
    HttpRoute,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    StreamError,
)
from navi_core.errors import DecodeError, ErrorCode, NaviError
from navi_core.messages import InferenceRequest, ModelRef
from navi_core.openapi import OpenApiError
from navi_core.testing import Sample, ServiceConformance

STATUS = {code: number for number, code in enumerate(ErrorCode)}  # gRPC's order
TEXT = (("content-type", "text/plain"),)
HTTP = {ErrorCode.INVALID_ARGUMENT: 400, ErrorCode.NOT_FOUND: 404, ErrorCode.UNAVAILABLE: 503}


class SumService(Service):
    """A JSON object in, the sum of the answer out; over RPC, over HTTP, and as a stream."""

    name = "sum"

    def __init__(self, context):
        self.plane = context.plane
        self.new_signal = context.new_signal

    @classmethod
    def create(cls, context):
        return cls(context)

    def rpc_methods(self):
        infer, read = Operation.INFER, Operation.READ
        return {
            "/sum.Sum/Sum": RpcMethod(kind=RpcKind.UNARY, handler=self.rpc, operation=infer),
            "/sum.Sum/Watch": RpcMethod(kind=RpcKind.SERVER_STREAM, handler=self.watch, operation=read),
            "/sum.Sum/Chat": RpcMethod(kind=RpcKind.BIDI, handler=self.chat, operation=infer),
        }

    def http_routes(self):
        path = re.compile(r"/sum/(?P<model>[^/]+)")
        return [
            HttpRoute(verb="POST", pattern=path, handler=self.http, operation=Operation.INFER),
            HttpRoute(verb="GET", pattern=path, handler=self.show, operation=Operation.READ),
        ]

    def openapi(self):
        text = {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}
        answers = {str(status): text for status in (200, 400, 404, 503)}
        model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        return {
            "paths": {
                "/sum/{model}": {
                    "parameters": [{"$ref": "#/components/parameters/Model"}],
                    "get": {"operationId": "show", "responses": answers},
                    "post": {"operationId": "sum", "responses": answers},
                }
            },
            "components": {"parameters": {"Model": model}},
        }

    async def rpc(self, call):
        try:
            return Response(status=0, body=await self.sum(None, call.body, call))
        except NaviError as error:
            return Response(status=self.status(error), message=self.word(error))

    async def chat(self, call):
        async def answers():
            async for message in call.messages:
                try:
                    yield await self.sum(None, message, call)
                except NaviError as error:
                    raise StreamError(self.status(error), self.word(error)) from None

        return Response(status=0, stream=answers())

    async def watch(self, call):
        async def answers():
            signal = self.new_signal()
            forget = self.plane.on_change(signal.set)
            try:
                while True:
                    yield b"ready"
                    await signal.wait()
            finally:
                forget()

        return Response(status=0, stream=answers())

    async def http(self, call):
        try:
            body = [await self.sum(call.match["model"], call.body, call)]
            return Response(status=200, body=body, headers=TEXT)
        except NaviError as error:
            status = HTTP.get(error.code, 500)
            return Response(status=status, body=self.word(error).encode(), headers=TEXT)

    async def show(self, call):
        try:
            with self.plane.acquire(ModelRef(call.match["model"])) as handle:
                return Response(status=200, body=handle.platform.encode(), headers=TEXT)
        except NaviError as error:
            status = HTTP.get(error.code, 500)
            return Response(status=status, body=self.word(error).encode(), headers=TEXT)

    def status(self, error):
        return STATUS[error.code]

    def word(self, error):
        return error.message

    def parse(self, body):
        try:
            content = json.loads(bytes(body))
            return str(content.get("model", "")), np.array(content["x"], np.float32)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            raise DecodeError("expected {model, x}") from None

    async def sum(self, model, body, call):
        asker = {"service": self.name, "transport": call.transport, "method": "sum"}
        try:
            named, x = self.parse(body)
        except DecodeError as error:
            self.refused(error, asker)
            raise
        request = InferenceRequest(inputs={"x": x}, deadline=self.deadline(call), **asker)
        response = await self.plane.infer(ModelRef(model or named), request)
        try:
            return f"{float(response.outputs['y'].sum()):g}".encode()
        finally:
            self.release(response)

    def refused(self, error, asker):
        self.plane.refused(None, error, **asker)

    def deadline(self, call):
        return call.deadline

    def release(self, response):
        response.release()


class SumSuite(ServiceConformance):
    __test__ = False
    service = SumService
    plugin_module = "navi_core.contracts.service"

    def make_service(self, context):
        return self.service.create(context)

    def samples(self, model):
        body = json.dumps({"model": model, "x": [1, 2]}).encode()
        return {
            "/sum.Sum/Sum": body,
            "/sum.Sum/Watch": Sample(metadata={"x-any": "thing"}),
            "/sum.Sum/Chat": body,
            f"POST /sum/{model}": b'{"x": [1, 2]}',
            f"GET /sum/{model}": None if model == "" else b"",
        }

    def test_handlers_know_no_socket_and_no_event_loop(self):
        """This file imports asyncio for its defects."""


class TestSum(SumSuite):
    __test__ = True


def method(service, path="/sum.Sum/Sum", **changes):
    return {
        **SumService.rpc_methods(service),
        path: dataclasses.replace(SumService.rpc_methods(service)["/sum.Sum/Sum"], **changes),
    }


class _IsNotNamed(SumService):
    name = "two words"


class _HasNoOperation(SumService):
    def rpc_methods(self):
        return method(self, operation="predict")


class _HasNothing(SumService):
    def rpc_methods(self):
        return {}

    def http_routes(self):
        return ()


class _HasAShortPath(SumService):
    def rpc_methods(self):
        return method(self, "/Sum")


class _IsNotDescribed(SumService):
    descriptor_set = b""


class _StreamsOtherwise(SumService):
    def rpc_methods(self):
        return {
            "/grpc.health.v1.Health/Watch": RpcMethod(
                kind=RpcKind.UNARY, handler=self.rpc, operation=Operation.READ
            )
        }

    @property
    def descriptor_set(self):
        from navi_core.wire import grpc_health

        return grpc_health.DESCRIPTORS.serialized


class _HidesARoute(SumService):
    def http_routes(self):
        everything = re.compile("/sum/.*")
        routes = super().http_routes()
        return [dataclasses.replace(routes[1], pattern=everything), *routes]


class _RegistersTwice(SumService):
    def http_routes(self):
        return [*super().http_routes(), *super().http_routes()]


class _TakesAProbe(SumService):
    def http_routes(self):
        return [
            *super().http_routes(),
            HttpRoute(
                verb="GET",
                pattern=re.compile(re.escape("/healthz/live")),
                handler=self.show,
                operation=Operation.READ,
            ),
        ]


class _DescribesLess(SumService):
    def openapi(self):
        described = super().openapi()
        del described["paths"]["/sum/{model}"]["get"]
        return described


class _DescribesMore(SumService):
    def openapi(self):
        described = super().openapi()
        described["paths"]["/sums/{model}"] = described["paths"]["/sum/{model}"]
        return described


class _DescribesNoParameter(SumService):
    def openapi(self):
        described = super().openapi()
        del described["paths"]["/sum/{model}"]["parameters"]
        return described


class _RefersToNothing(SumService):
    def openapi(self):
        return {**super().openapi(), "components": {}}


class _NamesTwoAlike(SumService):
    def openapi(self):
        described = super().openapi()
        described["paths"]["/sum/{model}"]["get"]["operationId"] = "sum"
        return described


class _DescribesSuccessAlone(SumService):
    def openapi(self):
        described = super().openapi()
        del described["paths"]["/sum/{model}"]["post"]["responses"]["404"]
        return described


class _SaysHtml(SumService):
    async def show(self, call):
        response = await super().show(call)
        response.headers = (("content-type", "text/html; charset=utf-8"),)
        return response


class _HasOneMore(SumService):
    def rpc_methods(self):
        return method(self, "/sum.Sum/More")


class _KeepsAnswers(SumService):
    def release(self, response):
        pass


class _KeepsHandles(SumService):
    async def show(self, call):
        handle = self.plane.acquire(ModelRef(call.match["model"])).__enter__()
        return Response(status=200, body=handle.platform.encode())


class _MixesCallsUp(SumService):
    async def sum(self, model, body, call):
        self.body = body
        await asyncio.sleep(0)
        answer = await super().sum(model, self.body, call)
        return answer + f" of {len(self.body)}".encode()


class _CountsBytes(_MixesCallsUp):
    """Answers differ from call to call."""

    asked = 0

    async def sum(self, model, body, call):
        self.asked += 1
        return f"{self.asked}".encode()


class _FindsEverything(SumService):
    async def show(self, call):
        return Response(status=200, body=b"fine")


class _CallsItInvalid(SumService):
    def status(self, error):
        return 3 if error.code is ErrorCode.NOT_FOUND else super().status(error)


class _RaisesOnNoise(SumService):
    def parse(self, body):
        content = json.loads(bytes(body))
        return content["model"], np.array(content["x"], np.float32)


class _BlamesItselfForNoise(SumService):
    def status(self, error):
        return 13 if isinstance(error, DecodeError) else super().status(error)


class _ShowsItsInside(SumService):
    def word(self, error):
        return f'Traceback (most recent call last):\n  File "sum.py", line 1\n{error.message}'


class _BreaksOnLongNames(SumService):
    def parse(self, body):
        model, x = super().parse(body)
        if len(model) > 1000:
            raise OSError("name too long")
        return model, x


class _LacksACode(SumService):
    def status(self, error):
        return {code: number for code, number in STATUS.items() if code is not ErrorCode.ABORTED}[error.code]


class _HidesTheText(SumService):
    def word(self, error):
        return "failed"


class _SwallowsErrors(SumService):
    def status(self, error):
        return 0


class _CountsNothing(SumService):
    def refused(self, error, asker):
        pass


class _ForgetsTheDeadline(SumService):
    def deadline(self, call):
        return None


class _SwallowsCancels(SumService):
    async def rpc(self, call):
        try:
            return await super().rpc(call)
        except asyncio.CancelledError:
            return Response(status=1, message="cancelled")


class _Hangs(SumService):
    async def show(self, call):
        await asyncio.sleep(30)


class _WritesCapitals(SumService):
    async def show(self, call):
        return Response(status=200, headers=(("Content-Type", "text/plain"),))


def _forgets(watcher):
    async def watch(self, call):
        self.plane.on_change(self.new_signal().set)
        return await SumService.watch(self, call)

    return watch


_KeepsWatching = type("_KeepsWatching", (SumService,), {"watch": _forgets(SumService.watch)})

ROUTES = "every_http_route_is_described_and_no_other"
DESCRIBED = "answers_and_errors_are_as_described"
BYTES = "any_bytes_get_an_answer_of_the_protocol"


@pytest.mark.parametrize(
    ("wrong", "law", "words"),
    [
        (_IsNotNamed, "class_can_be_registered", "expected letters"),
        (_HasNoOperation, "every_handler_says_what_it_does", "operation is 'predict'"),
        (_HasNothing, "every_handler_says_what_it_does", "RPC methods, HTTP routes, or both"),
        (_HasAShortPath, "rpc_paths_are_well_formed", "expected /package.Service/Method, got '/Sum'"),
        (_IsNotDescribed, "rpcs_are_those_of_the_descriptors", "not in the descriptor set"),
        (_StreamsOtherwise, "rpcs_are_those_of_the_descriptors", "says server_stream"),
        (_HidesARoute, "http_routes_do_not_clash", "no sample reaches the route GET /sum/"),
        (_RegistersTwice, "http_routes_do_not_clash", "registered twice"),
        (_TakesAProbe, "http_routes_do_not_clash", "'operations' and 'sum' both offer"),
        (_DescribesLess, ROUTES, "the route GET .* is not described"),
        (_DescribesMore, ROUTES, "is described, and no route takes it"),
        (_DescribesNoParameter, ROUTES, "no parameter 'model' is described"),
        (_RefersToNothing, ROUTES, "there is no '#/components/parameters/Model'"),
        (_NamesTwoAlike, "operations_have_names_of_their_own", "two operations have one operationId"),
        (_DescribesSuccessAlone, DESCRIBED, "is answered with 404; POST .* describes 200, 400, 503"),
        (_SaysHtml, DESCRIBED, "answered with 200 and 'text/html', described are text/plain"),
        (_HasOneMore, "every_rpc_has_a_sample", r"lacks /sum\.Sum/More"),
        (_KeepsAnswers, "samples_are_answered", "an answer was not released"),
        (_KeepsHandles, "samples_are_answered", "a model's handle was not given back"),
        (_KeepsWatching, "samples_are_answered", "a callback was not taken back"),
        (_WritesCapitals, "samples_are_answered", "header names are in lower case"),
        (_MixesCallsUp, "samples_are_answered_side_by_side", "another answer beside other calls"),
        (_CountsBytes, "samples_are_answered_side_by_side", "another answer beside other calls"),
        (_FindsEverything, "an_unknown_model_is_not_found", "expected the protocol's word for 'not found'"),
        (_CallsItInvalid, "an_unknown_model_is_not_found", "expected the protocol's word for 'not found'"),
        (_HidesTheText, "an_unknown_model_is_not_found", "and the model's name"),
        (_RaisesOnNoise, BYTES, "a handler raised JSONDecodeError"),
        (_BlamesItselfForNoise, BYTES, "calls it a bug of its own"),
        (_ShowsItsInside, BYTES, "shows the program's inside"),
        (
            _BreaksOnLongNames,
            "any_model_name_gets_an_answer_of_the_protocol",
            "raised OSError: name too long",
        ),
        (_LacksACode, "any_error_is_worded", "a handler raised KeyError: <ErrorCode.ABORTED"),
        (_HidesTheText, "any_error_is_worded", "became Reply"),
        (_SwallowsErrors, "any_error_is_worded", "became an answer"),
        (_CountsNothing, "inferences_are_counted_once", "counted 0 times"),
        (_ForgetsTheDeadline, "a_deadline_reaches_the_data_plane", "expected the deadline 1007.5, got None"),
        (_SwallowsCancels, "a_cancel_passes_through", "a cancel was swallowed"),
    ],
)
def test_suite__catches_a_wrong_service(wrong, law, words):
    suite = type("Suite", (SumSuite,), {"service": wrong})()
    with pytest.raises((AssertionError, pytest.fail.Exception, NaviError, OpenApiError), match=words):
        getattr(suite, f"test_{law}")()


def test_suite__says_what_hangs():
    suite = type("Suite", (SumSuite,), {"service": _Hangs, "patience_s": 0.2})()
    with pytest.raises(pytest.fail.Exception, match=r"a handler hangs: no end after 0\.2 s"):
        suite.test_samples_are_answered()


def test_suite__sees_an_event_loop_in_a_service():
    with pytest.raises(AssertionError, match="imports asyncio"):
        ServiceConformance.test_handlers_know_no_socket_and_no_event_loop(SumSuite())


def test_suite__names_a_sample_that_reaches_nothing():
    class Mistaken(SumSuite):
        def samples(self, model):
            return {**super().samples(model), "/sum.Sum/Summ": b"", "PUT /sum/x": b""}

    with pytest.raises(LookupError, match=r"no RPC /sum\.Sum/Summ: it has /sum\.Sum/Sum"):
        Mistaken().test_samples_are_answered()
    with pytest.raises(AssertionError, match="no route takes the sample PUT /sum/x"):
        Mistaken().test_http_routes_do_not_clash()


@pytest.mark.parametrize("name", ["make_service", "samples"])
def test_suite__names_what_a_subclass_must_give(name):
    with pytest.raises(NotImplementedError, match=f"must override {name}"):
        getattr(ServiceConformance(), name)(None)
