"""The page about the Open Inference Protocol says what the service does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from navi_core import Call
from navi_core.clock import ManualClock
from navi_core.contracts.service_context import ServiceContext
from navi_core.routing import HostRouter
from navi_core.services.oip.metadata import EXTENSIONS
from navi_core.services.oip.options import OipOptions, read_options
from navi_core.services.oip.service import OipService
from navi_core.signature import Signature
from navi_core.testing.service_plane import ProbeAdmin, ProbePlane

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from-triton.md").read_text()
UNIMPLEMENTED, NOT_IMPLEMENTED = 12, 501


def table(heading):
    """Return the cells of the first table after a heading, without its head."""
    lines = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("|")][2:]


def words(cell):
    return re.findall(r"`([^`]+)`", cell)


FEATURES = [row for row in table("What is served") if len(row) >= 3]


@pytest.fixture
def service():
    plane = ProbePlane("m", Signature(inputs={}, outputs={}))
    return OipService.create(
        ServiceContext(plane=plane, admin=ProbeAdmin(plane), now=ManualClock().now, new_signal=None)
    )


async def refuses(service, rpc):
    method = service.rpc_methods()[f"/inference.GRPCInferenceService/{rpc}"]
    return (await method.handler(Call(path=rpc))).status == UNIMPLEMENTED


async def test_every_rpc__is_on_the_page_and_served_or_not_as_it_says(service):
    told = {}
    for row in FEATURES:
        for word in words(row[1]):
            if word[0].isupper():
                told[word] = row[-1].startswith("no")
    assert {f"/inference.GRPCInferenceService/{rpc}" for rpc in told} == set(service.rpc_methods())
    for rpc, is_absent in told.items():
        assert await refuses(service, rpc) is is_absent, rpc


async def test_every_path__is_served_or_not_as_the_page_says(service):
    router = HostRouter([service])
    reached = set()
    for row in FEATURES:
        for path in [word for word in words(row[2]) if word.startswith("/v2")]:
            for verb in ("GET", "POST"):
                found = router.http(verb, path.replace("/M", "/m"), "")
                if found.route is None:
                    continue
                reached.add(found.route.pattern)
                if row[-1].startswith("no"):
                    response = await found.route.handler(Call(path=path, verb=verb, match=found.groups))
                    assert response.status == NOT_IMPLEMENTED, path
                    continue
            assert any(router.http(verb, path.replace("/M", "/m"), "").route for verb in ("GET", "POST")), (
                path
            )
    unnamed = {route.pattern.pattern for route in service.http_routes()} - {each.pattern for each in reached}
    assert unnamed == {r"/v2/repository/[^/]+/(?:index|models/[^/]+/(?:load|unload))"}


def test_what_is_advertised__is_on_the_page_as_present():
    told = {row[0]: row[-1] for row in FEATURES}
    for name in EXTENSIONS:
        feature = name.partition("(")[0].replace("_", " ")
        assert told[feature].startswith(("yes", "partly")), name


def test_settings():
    rows = {words(row[0])[0]: row for row in table("Two dialects") if len(row) == 3 and words(row[0])}
    fields = {field.name: field for field in msgspec.structs.fields(OipOptions)}
    assert set(fields) <= set(rows)
    for name in ("max_json_bytes", "max_json_depth", "max_stream_requests"):
        assert rows[name][1] == str(fields[name].default)
    assert rows["compat"][1] == '`"kserve"`'
    for compat in ("kserve", "triton"):
        assert read_options({"compat": compat}).nan_tokens is (compat == "triton")
