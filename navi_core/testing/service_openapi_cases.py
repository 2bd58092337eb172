"""The part of the service suite about what a service says of its HTTP routes."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from navi_core.contracts.service import HttpRoute, Response, Service
from navi_core.openapi import DescribedOperation, described_operations, resolve, route_of
from navi_core.testing.service_cases import ServiceCases
from navi_core.testing.service_stage import Sample, Target

__all__ = ["OpenApiCases"]

_PARAMETER: Final = re.compile(r"\{[^{}]*\}")


class OpenApiCases(ServiceCases):
    """The OpenAPI document says what is so."""

    def test_every_http_route_is_described_and_no_other(self) -> None:
        """What is advertised is in ``openapi()``, and what is there can be reached."""
        service = self._stage().service
        routes = _advertised(service)
        reached = set()
        for each in described_operations(service.openapi()):
            route = route_of(service.http_routes(), each.verb, each.path)
            assert route is not None, f"{each.verb} {each.template} is described, and no route takes it"
            assert each.content.get("responses"), f"{each.verb} {each.template}: no answer is described"
            reached.add((route.verb, route.pattern))
        for route in routes:
            assert (route.verb, route.pattern) in reached, (
                f"the route {route.verb} {route.pattern.pattern} is not described: openapi() lacks it"
            )

    def test_operations_have_names_of_their_own(self) -> None:
        """Clients that are generated name their functions by them."""
        found = [each.content.get("operationId") for each in self._described()]
        assert all(found), "an operation has no operationId"
        assert len(set(found)) == len(found), "two operations have one operationId"

    def test_answers_and_errors_are_as_described(self) -> None:
        """Every sample, broken or for an unknown model, gets a status and a content type that are described."""
        operations = self._described()
        stage = self._stage()

        async def case() -> None:
            for model_samples in (self._samples(), self._samples(self.unknown_model)):
                for where, sample in model_samples.items():
                    if where.startswith("/") or sample is None:
                        continue
                    target = stage.target(where)
                    broken = Sample(body=sample.body[:-1] + b"\0", metadata=sample.metadata)
                    for sent in (sample, broken):
                        response = await target.handler(target.call(sent))
                        if response.on_written is not None:
                            response.on_written()
                        _check(service=stage.service, operations=operations, target=target, response=response)

        self._run(case)

    def _described(self) -> list[DescribedOperation]:
        found = list(described_operations(self._stage().service.openapi()))
        if not found:
            pytest.skip("the service has no HTTP routes")
        return found


def _advertised(service: Service) -> list[HttpRoute]:
    return [route for route in service.http_routes() if route.advertised and not route.fallback]


def _check(
    *, service: Service, operations: list[DescribedOperation], target: Target, response: Response
) -> None:
    verb, _, path = target.where.partition(" ")
    each = next(_matching(operations, verb, path.partition("?")[0]), None)
    assert each is not None, f"{target.where} is not described"
    answers = each.content["responses"]
    where = f"{target.where} is answered with {response.status}"
    described = answers.get(str(response.status), answers.get("default"))
    assert described is not None, f"{where}; {each.verb} {each.template} describes {', '.join(answers)}"
    content = resolve(service.openapi(), described).get("content", {})
    kind = dict(response.headers).get("content-type", b"")
    kind = (kind if isinstance(kind, str) else kind.decode()).partition(";")[0].strip()
    if content:
        assert kind in content, f"{where} and '{kind}', described are {', '.join(content)}"
    else:
        assert not any(map(len, _pieces(response))), f"{where} and a body, none is described"


def _pieces(response: Response) -> list[bytes | bytearray | memoryview]:
    body = response.body
    return [body] if isinstance(body, bytes | bytearray | memoryview) else list(body)


def _matching(operations: list[DescribedOperation], verb: str, path: str) -> Iterator[DescribedOperation]:
    """Yield the operations that a path may belong to, those with the most literal text first."""
    for each in sorted(operations, key=lambda each: -len(_PARAMETER.sub("", each.template))):
        pattern = "[^/]+".join(map(re.escape, _PARAMETER.split(each.template)))
        if each.verb == verb and re.fullmatch(pattern, path, re.IGNORECASE):
            yield each
