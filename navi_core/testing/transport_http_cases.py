"""The HTTP half of the transport suite."""
# ruff: noqa: S101, D102 - a conformance suite is made of assertions; the names of its cases say what holds

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from navi_core.testing.http_client import HttpClient, HttpReply
from navi_core.testing.transport_cases import DEFAULTS, KIB, MIB, TransportCases, brief, counters, noise
from navi_core.testing.transport_harness import HarnessSettings, TransportHarness
from navi_core.testing.transport_probe import HIDDEN_TEXT, HTTP_PREFIX

__all__ = ["HttpCases"]


def _error(reply: HttpReply) -> str:
    assert reply.headers["content-type"].startswith("application/json"), reply
    content = json.loads(reply.body)
    assert list(content) == ["error"]
    text: str = content["error"]
    return text


@pytest.mark.asyncio
class HttpCases(TransportCases):
    """What holds for every transport that carries HTTP."""

    @asynccontextmanager
    async def http(
        self, settings: HarnessSettings = DEFAULTS
    ) -> AsyncIterator[tuple[TransportHarness, HttpClient]]:
        """Run the transport with one HTTP client."""
        async with self.running(settings) as harness:
            client = harness.http_client()
            try:
                yield harness, client
            finally:
                await client.close()

    # --- requests ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("size_bytes", [0, 1, 5 * KIB, 3 * MIB])
    @pytest.mark.parametrize("chunked", [False, True])
    async def test_http_echo(self, size_bytes: int, chunked: bool) -> None:
        body = noise(size_bytes)
        sent = [body[start : start + 100_000] for start in range(0, size_bytes, 100_000)] if chunked else body
        async with self.http() as (_, client):
            reply = await client.request(
                "POST", HTTP_PREFIX + "echo", body=sent, headers={"content-type": "x/y"}
            )
        assert (reply.status, brief(reply.body)) == (200, brief(body))
        assert reply.headers["content-type"] == "x/y"

    async def test_http_paths_and_queries_come_raw(self) -> None:
        async with self.http() as (_, client):
            target = HTTP_PREFIX + "facts/a%2Fb/%C3%A9:predict?x=%20y&x=2"
            facts = json.loads((await client.request("GET", target)).body)
        assert facts["path"] == HTTP_PREFIX + "facts/a%2Fb/%C3%A9:predict"
        assert facts["query"] == "x=%20y&x=2"
        assert facts["match"] == {"rest": "a%2Fb/%C3%A9:predict"}
        assert facts["verb"] == "GET"
        assert facts["transport"] == self.transport_type.name
        assert facts["peer"]

    async def test_http_headers_come_in_lower_case(self) -> None:
        async with self.http() as (_, client):
            reply = await client.request("GET", HTTP_PREFIX + "facts", headers={"X-Probe": "Some Text"})
        metadata = json.loads(reply.body)["metadata"]
        assert metadata["x-probe"] == "Some Text"
        assert not [name for name in metadata if name != name.lower()]

    async def test_http_a_deadline_comes_from_its_header_only(self) -> None:
        async with self.http() as (_, client):
            plain = await client.request("GET", HTTP_PREFIX + "facts")
            timed = await client.request(
                "GET", HTTP_PREFIX + "facts", headers={"request-timeout-ms": "20000"}
            )
            wrong = await client.request("GET", HTTP_PREFIX + "facts", headers={"request-timeout-ms": "soon"})
        assert json.loads(plain.body)["deadline_in_s"] is None
        assert 15 < json.loads(timed.body)["deadline_in_s"] <= 20
        assert wrong.status == 400
        assert "request-timeout-ms" in _error(wrong)

    async def test_http_head_is_a_get_without_a_body(self) -> None:
        async with self.http() as (_, client):
            got = await client.request("GET", HTTP_PREFIX + "counters")
            head = await client.request("HEAD", HTTP_PREFIX + "counters")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]

    # --- errors -----------------------------------------------------------------------------------

    async def test_http_no_such_path(self) -> None:
        async with self.http() as (_, client):
            reply = await client.request("GET", "/nowhere")
        assert reply.status == 404
        assert "/nowhere" in _error(reply)

    async def test_http_wrong_verb(self) -> None:
        async with self.http() as (_, client):
            reply = await client.request("PUT", HTTP_PREFIX + "echo", body=b"x")
        assert reply.status == 405
        assert reply.headers["allow"] == "GET, POST"
        assert "PUT" in _error(reply)

    @pytest.mark.parametrize("path", ["raise", "bad-header"])
    async def test_http_a_broken_handler_is_an_opaque_error(self, path: str) -> None:
        async with self.http() as (_, client):
            reply = await client.request("GET", HTTP_PREFIX + path)
            assert reply.status == 500
            assert _error(reply) == "internal error"
            assert HIDDEN_TEXT not in repr(reply)
            assert (await client.request("GET", HTTP_PREFIX + "counters")).status == 200

    async def test_http_admin_operations_are_refused(self) -> None:
        async with self.http() as (_, client):
            reply = await client.request("POST", HTTP_PREFIX + "admin", body=b"x")
        assert reply.status == 403
        assert "not allowed" in _error(reply)

    async def test_http_overload_says_when_to_come_again(self) -> None:
        async with self.http() as (_, client):
            reply = await client.request("GET", HTTP_PREFIX + "busy")
        assert reply.status == 429
        assert int(reply.headers["retry-after"]) >= 1

    # --- deadlines and cancellation ---------------------------------------------------------------

    async def test_http_a_deadline_shorter_than_the_run(self) -> None:
        async with self.http() as (harness, client):
            start_s = time.monotonic()
            reply = await client.request(
                "POST", HTTP_PREFIX + "sleep", body=b"60", headers={"request-timeout-ms": "500"}
            )
            assert reply.status == 504
            assert time.monotonic() - start_s < 40
            await self.eventually(harness, lambda seen: seen["cancelled"] == 1)

    async def test_http_a_client_that_goes_cancels_the_handler(self) -> None:
        async with self.http() as (harness, client):
            request = asyncio.create_task(client.request("POST", HTTP_PREFIX + "sleep", body=b"60"))
            await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
            request.cancel()
            with suppress(asyncio.CancelledError):
                await request
            await self.eventually(harness, lambda seen: seen["cancelled"] == 1 == seen["told_cancelled"])

    # --- streams ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("count", [0, 3, 500])
    async def test_http_a_streamed_answer(self, count: int) -> None:
        async with self.http() as (harness, client):
            reply = await client.request("GET", f"{HTTP_PREFIX}stream?{count}")
            assert reply.status == 200
            assert brief(reply.body) == brief(b"".join(b"chunk %d\n" % number for number in range(count)))
            await self.eventually(harness, lambda seen: seen["written"] == 1)

    async def test_http_a_stream_that_breaks_is_no_complete_answer(self) -> None:
        async with self.http() as (harness, client):
            with pytest.raises(ConnectionError):
                await client.request("GET", HTTP_PREFIX + "broken-stream")
            await self.eventually(harness, lambda seen: seen["written"] == 1)

    # --- compression and limits -------------------------------------------------------------------

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "raw deflate", "identity"])
    async def test_http_compressed_requests(self, encoding: str) -> None:
        body = b"compressible " * 10_000
        raw = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = {
            "deflate": zlib.compress(body),
            "raw deflate": raw.compress(body) + raw.flush(),
            "identity": body,
        }.get(encoding, gzip.compress(body))
        headers = {"content-encoding": encoding.rpartition(" ")[2]}
        async with self.http() as (_, client):
            echoed = await client.request("POST", HTTP_PREFIX + "echo", body=packed, headers=headers)
            facts = await client.request("POST", HTTP_PREFIX + "facts", body=packed, headers=headers)
        assert (echoed.status, brief(echoed.body)) == (200, brief(body))
        seen = json.loads(facts.body)
        assert seen["size_bytes"] == len(body)
        assert seen["wire_size_bytes"] == len(packed)
        expected = encoding.lower().removeprefix("x-").removeprefix("raw ")
        assert seen["compression"] == ("" if encoding == "identity" else expected)

    async def test_http_bad_compression_is_the_clients_fault(self) -> None:
        headers = {"content-encoding": "gzip"}
        packed = gzip.compress(b"x" * 1000)
        async with self.http() as (_, client):
            for body in (b"this is not gzip", packed[:-9], packed + b"rubbish"):
                reply = await client.request("POST", HTTP_PREFIX + "echo", body=body, headers=headers)
                assert reply.status == 400, body
                assert "gzip" in _error(reply)
            unknown = await client.request(
                "POST", HTTP_PREFIX + "echo", body=b"x", headers={"content-encoding": "br"}
            )
            assert unknown.status == 415
            assert "'br'" in _error(unknown)

    @pytest.mark.parametrize("limit", ["size", "ratio"])
    async def test_http_a_gzip_bomb_is_refused(self, limit: str) -> None:
        limits = HarnessSettings(max_inflated_bytes=(4 if limit == "size" else 60) * MIB)
        bomb = gzip.compress(bytes(40 * MIB), 1)
        async with self.http(limits) as (_, client):
            for sent in (bomb, [bomb]):
                reply = await client.request(
                    "POST", HTTP_PREFIX + "echo", body=sent, headers={"content-encoding": "gzip"}
                )
                assert reply.status == 413
                assert "inflat" in _error(reply)

    async def test_http_compressed_answers(self) -> None:
        body = b"compressible " * 10_000
        async with self.http() as (_, client):

            async def echo(accepts: str, sent: bytes = body) -> HttpReply:
                return await client.request(
                    "POST", HTTP_PREFIX + "echo", body=sent, headers={"accept-encoding": accepts}
                )

            accepted, refused, small = (
                await echo("deflate, gzip;q=0.5"),
                await echo("gzip;q=0, br"),
                await echo("gzip", b"short"),
            )
        if self.compresses_answers:
            assert accepted.headers["content-encoding"] == "gzip"
            assert "accept-encoding" in accepted.headers["vary"].lower()
            assert brief(gzip.decompress(accepted.body)) == brief(body)
        else:
            assert brief(accepted.body) == brief(body)
        assert brief(refused.body) == brief(body)
        assert small.body == b"short"
        assert "content-encoding" not in {**refused.headers, **small.headers}

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_http_a_body_over_the_limit_is_refused(self, chunked: bool) -> None:
        async with self.http(HarnessSettings(max_message_bytes=MIB)) as (_, client):

            async def echo(size_bytes: int) -> int:
                body = bytes(size_bytes)
                reply = await client.request("POST", HTTP_PREFIX + "echo", body=[body] if chunked else body)
                return reply.status

            assert await echo(MIB) == 200
            assert await echo(MIB + 1) == 413
            assert await echo(10) == 200

    async def test_http_an_announced_length_is_refused_before_the_body_comes(self) -> None:
        async with self.http(HarnessSettings(max_message_bytes=MIB)) as (_, client):
            start_s = time.monotonic()
            reply = await client.request(
                "POST", HTTP_PREFIX + "echo", body=bytes(8 * MIB), headers={"expect": "100-continue"}
            )
            assert reply.status == 413
            assert time.monotonic() - start_s < 40

    async def test_http_expect_continue_is_encouraged(self) -> None:
        async with self.http() as (_, client):
            reply = await client.request(
                "POST", HTTP_PREFIX + "echo", body=b"patient", headers={"expect": "100-continue"}
            )
        assert (reply.status, reply.body) == (200, b"patient")

    async def test_http_large_headers_are_refused(self) -> None:
        if not self.limits_headers:
            pytest.skip("the foreign server limits headers, not the transport")
        async with self.http() as (_, client):
            with suppress(ConnectionError):  # the client may still be writing when the answer comes
                reply = await client.request("GET", HTTP_PREFIX + "echo", headers={"large": "x" * 64 * KIB})
                assert 400 <= reply.status < 500
            assert (await client.request("GET", HTTP_PREFIX + "counters")).status == 200

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_http_an_exhausted_budget_refuses_and_recovers(self, chunked: bool) -> None:
        async with self.http(HarnessSettings(budget_bytes=MIB)) as (harness, client):
            large = [bytes(2 * MIB)] if chunked else bytes(2 * MIB)
            reply = await client.request("POST", HTTP_PREFIX + "echo", body=large)
            assert reply.status == 429
            assert "bodies in flight" in _error(reply)
            assert int(reply.headers["retry-after"]) >= 1
            await self.eventually(harness, lambda seen: seen["in_use_bytes"] == 0)
            fits = await client.request("POST", HTTP_PREFIX + "echo", body=bytes(900 * KIB))
            assert fits.status == 200

    async def test_http_64_mib_both_ways(self) -> None:
        body = noise(MIB) * 64
        async with self.http() as (_, client):
            reply = await client.request(
                "POST", HTTP_PREFIX + "echo", body=body, headers={"accept-encoding": "identity"}
            )
        assert reply.status == 200
        assert brief(reply.body) == brief(body)

    # --- the end of an answer, and of a server ----------------------------------------------------

    async def test_http_on_written_is_called_exactly_once(self) -> None:
        async with self.http() as (harness, client):
            await client.request("POST", HTTP_PREFIX + "echo", body=b"x" * 5000)
            await client.request("HEAD", HTTP_PREFIX + "echo")
            await client.request("GET", HTTP_PREFIX + "busy")
            await client.request("GET", HTTP_PREFIX + "bad-header")
            await client.request("GET", HTTP_PREFIX + "stream")
            await client.request("HEAD", HTTP_PREFIX + "stream")
            with suppress(ConnectionError):
                await client.request("GET", HTTP_PREFIX + "broken-stream")
            endless = asyncio.create_task(client.request("GET", HTTP_PREFIX + "endless"))
            await self.eventually(harness, lambda seen: seen["answered"] == 8)
            endless.cancel()
            with suppress(asyncio.CancelledError):
                await endless
            await self.eventually(harness, lambda seen: seen["written"] == 8 and seen["streams_closed"] == 1)
            await asyncio.sleep(0.05)
            assert (await counters(harness))["written"] == 8

    async def test_http_draining_finishes_what_runs_and_refuses_what_comes(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            client, other = harness.http_client(), harness.http_client()
            try:
                assert (await other.request("GET", HTTP_PREFIX + "counters")).status == 200
                running = asyncio.create_task(client.request("POST", HTTP_PREFIX + "sleep", body=b"2"))
                await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
                draining = asyncio.create_task(harness.drain(60))
                while (refused := await other.request("GET", HTTP_PREFIX + "echo")).status == 200:
                    pass  # a foreign server is told to drain by a message, which may take its time
                assert refused.status == 503
                assert _error(refused) == "draining"
                assert refused.headers["connection"] == "close"
                assert int(refused.headers["retry-after"]) >= 1
                finished = await running
                assert (finished.status, finished.body) == (200, b"slept")
                assert finished.headers["connection"] == "close"
                await asyncio.wait_for(draining, 60)
            finally:
                await client.close()
                await other.close()

    async def test_http_a_drain_gives_up_when_its_time_is_up(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            client = harness.http_client()
            try:
                running = asyncio.create_task(client.request("POST", HTTP_PREFIX + "sleep", body=b"60"))
                await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
                start_s = time.monotonic()
                await harness.drain(0.3)
                assert 0.25 < time.monotonic() - start_s < 40
                await harness.stop()
                assert (await running).status == 503
            finally:
                await client.close()

    async def test_http_draining_under_load_resets_nothing(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            clients = [harness.http_client() for _ in range(16)]
            try:
                await asyncio.gather(*(client.request("GET", HTTP_PREFIX + "counters") for client in clients))
                loops = [asyncio.create_task(_call_until_refused(client)) for client in clients]
                await asyncio.sleep(0.3)
                await harness.drain(60)
                ends = await asyncio.gather(*loops)
                assert {(end.status, _error(end)) for end in ends if end is not None} <= {(503, "draining")}
            finally:
                for client in clients:
                    await client.close()

    async def test_http_stop_is_idempotent_and_needs_no_drain(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            await harness.stop()


async def _call_until_refused(client: HttpClient) -> HttpReply | None:
    """Return the first answer other than OK; None: the port was closed to a new connection."""
    while True:
        try:
            reply = await client.request("POST", HTTP_PREFIX + "sleep", body=b"0.005")
        except ConnectionRefusedError:
            return None
        if reply.status != 200:
            return reply
