"""The RPC half of the transport suite."""
# ruff: noqa: S101, D102 - a conformance suite is made of assertions; the names of its cases say what holds

from __future__ import annotations

import asyncio
import json
import time

import pytest

from navi_core.testing.rpc_client import RpcClient, RpcReply
from navi_core.testing.transport_cases import KIB, MIB, TransportCases, brief, counters, noise
from navi_core.testing.transport_harness import HarnessSettings, TransportHarness
from navi_core.testing.transport_probe import HIDDEN_TEXT, RPC_PREFIX

__all__ = ["RpcCases"]

_CANCELLED, _DEADLINE, _PERMISSION_DENIED, _EXHAUSTED, _UNIMPLEMENTED, _INTERNAL, _UNAVAILABLE = (
    1, 4, 7, 8, 12, 13, 14,
)  # fmt: skip


def _facts(reply: RpcReply) -> dict[str, object]:
    assert reply.status == 0, reply
    facts: dict[str, object] = json.loads(reply.messages[0])
    return facts


def _briefly(reply: RpcReply) -> list[bytes | str | None]:
    return [brief(message) for message in reply.messages]


@pytest.mark.asyncio
class RpcCases(TransportCases):
    """What holds for every transport that carries RPCs."""

    # --- the four kinds ---------------------------------------------------------------------------

    @pytest.mark.parametrize("size_bytes", [0, 1, 5 * KIB, 3 * MIB])
    async def test_rpc_unary(self, size_bytes: int) -> None:
        body = noise(size_bytes)
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Echo", body)
        assert (reply.status, reply.message, _briefly(reply)) == (0, "", [brief(body)])

    async def test_rpc_unary_many_at_once(self) -> None:
        async with self.rpc() as (_, client):
            replies = await asyncio.gather(
                *(client.unary(RPC_PREFIX + "Echo", b"%d" % number) for number in range(64))
            )
        assert [reply.messages for reply in replies] == [[b"%d" % number] for number in range(64)]

    async def test_rpc_server_stream(self) -> None:
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Count", b'{"to": 20}')
        assert (reply.status, list(reply.messages)) == (0, [b"%d" % number for number in range(20)])
        assert reply.headers["probe-head"] == "first"
        assert reply.trailers["probe-tail"] == "last"

    async def test_rpc_server_stream_arrives_while_it_runs(self) -> None:
        async with self.rpc() as (harness, client):
            stream = await client.open(RPC_PREFIX + "Watch")
            await stream.send(b"")
            await stream.half_close()
            assert await stream.receive() == b"watching"
            assert (await counters(harness))["streams_closed"] == 0
            await stream.cancel()

    async def test_rpc_server_stream_may_end_with_a_status_of_its_own(self) -> None:
        async with self.rpc() as (harness, client):
            reply = await client.unary(RPC_PREFIX + "Count", b'{"to": 2, "fail": true}')
            assert (reply.status, reply.message) == (9, "counted enough")
            assert list(reply.messages) == [b"0", b"1"]
            await self.eventually(harness, lambda seen: seen["streams_closed"] == 1)

    async def test_rpc_server_stream_that_raises_is_an_opaque_error(self) -> None:
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Count", b'{"to": 2, "raise": true}')
        assert (reply.status, list(reply.messages)) == (_INTERNAL, [b"0", b"1"])
        assert HIDDEN_TEXT not in reply.message

    async def test_rpc_client_stream_ends_at_half_close(self) -> None:
        async with self.rpc() as (_, client):
            stream = await client.open(RPC_PREFIX + "Sizes")
            for size_bytes in (0, 3, 100 * KIB):
                await stream.send(b"x" * size_bytes)
            await stream.half_close()
            reply = await stream.end()
        assert json.loads(reply.messages[0]) == [0, 3, 100 * KIB]

    async def test_rpc_client_stream_may_be_empty(self) -> None:
        async with self.rpc() as (_, client):
            stream = await client.open(RPC_PREFIX + "Sizes")
            await stream.half_close()
            assert json.loads((await stream.end()).messages[0]) == []

    async def test_rpc_bidi_answers_between_messages_and_after_half_close(self) -> None:
        async with self.rpc() as (_, client):
            stream = await client.open(RPC_PREFIX + "Chat")
            for word in (b"one", b"two"):
                await stream.send(word)
                assert await stream.receive() == word.upper()
            await stream.half_close()
            assert list((await stream.end()).messages) == [b"bye"]

    # --- what goes along --------------------------------------------------------------------------

    async def test_rpc_metadata_both_ways(self) -> None:
        metadata = (
            ("probe-text", "a b%c"),
            ("probe-raw-bin", bytes(range(256))),
            ("other", "first"),
            ("other", "last"),
        )
        async with self.rpc() as (_, client):
            echoed = await client.unary(RPC_PREFIX + "Echo", metadata=metadata)
            facts = _facts(await client.unary(RPC_PREFIX + "Facts", metadata=metadata))
        for sent_back in (echoed.headers, echoed.trailers):
            assert sent_back["probe-text"] == "a b%c"
            assert sent_back["probe-raw-bin"] == bytes(range(256))
        seen = facts["metadata"]
        assert isinstance(seen, dict)
        assert seen["probe-text"] == "a b%c"
        assert seen["probe-raw-bin"] == {"hex": bytes(range(256)).hex()}
        assert seen["other"] == "last"
        assert not [name for name in seen if name != name.lower()]

    async def test_rpc_a_call_knows_where_it_came_from(self) -> None:
        async with self.rpc() as (_, client):
            facts = _facts(await client.unary(RPC_PREFIX + "Facts", b"12345"))
        assert facts["path"] == RPC_PREFIX + "Facts"
        assert facts["transport"] == self.transport_type.name
        assert facts["peer"]
        assert facts["verb"] == ""
        assert facts["size_bytes"] == facts["wire_size_bytes"] == 5
        assert facts["deadline_in_s"] is None

    async def test_rpc_a_deadline_is_handed_over(self) -> None:
        async with self.rpc() as (_, client):
            facts = _facts(await client.unary(RPC_PREFIX + "Facts", timeout_s=30))
        assert isinstance(facts["deadline_in_s"], float)
        assert 25 < facts["deadline_in_s"] < 31  # timeouts are rounded up on their way

    async def test_rpc_an_answer_in_pieces_is_one_message(self) -> None:
        body = noise(300 * KIB)
        async with self.rpc() as (_, client):
            replies = [await client.unary(RPC_PREFIX + "Pieces", body[:size]) for size in (0, 10, len(body))]
        assert [_briefly(reply) for reply in replies] == [[b""], [body[:10]], [brief(body)]]

    # --- errors -----------------------------------------------------------------------------------

    async def test_rpc_a_status_its_text_and_trailers(self) -> None:
        text = "größer als 100 %: \N{SNOWMAN}"
        async with self.rpc() as (_, client):
            reply = await client.unary(
                RPC_PREFIX + "Fail", json.dumps({"status": 9, "message": text}).encode()
            )
        assert (reply.status, reply.message, list(reply.messages)) == (9, text, [])
        assert reply.trailers["probe-reason"] == "as-asked"

    async def test_rpc_every_status_arrives_as_it_is(self) -> None:
        async with self.rpc() as (_, client):
            for status in range(1, 17):
                asked = json.dumps({"status": status, "message": "so"}).encode()
                assert (await client.unary(RPC_PREFIX + "Fail", asked)).status == status

    async def test_rpc_a_long_status_text_is_cut(self) -> None:
        async with self.rpc() as (_, client):
            text = "x" * 1023 + "é" * 500
            reply = await client.unary(
                RPC_PREFIX + "Fail", json.dumps({"status": 3, "message": text}).encode()
            )
        assert reply.message == "x" * 1023 + "...TRUNCATED"

    async def test_rpc_an_unknown_method(self) -> None:
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Nothing", b"body")
            assert reply.status == _UNIMPLEMENTED
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0

    @pytest.mark.parametrize("method", ["Raise", "CancelItself", "BadMetadata"])
    async def test_rpc_a_broken_handler_is_an_opaque_error(self, method: str) -> None:
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + method, timeout_s=20)
            assert (reply.status, reply.message) == (_INTERNAL, "internal error")
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0

    async def test_rpc_admin_operations_are_refused(self) -> None:
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Admin")
        assert reply.status == _PERMISSION_DENIED
        assert "not allowed" in reply.message

    # --- deadlines and cancellation ---------------------------------------------------------------

    async def test_rpc_a_deadline_shorter_than_the_run(self) -> None:
        async with self.rpc() as (harness, client):
            assert (await client.unary(RPC_PREFIX + "Echo", b"connected")).status == 0
            start_s = time.monotonic()
            reply = await client.unary(RPC_PREFIX + "Sleep", b"60", timeout_s=1)
            assert reply.status == _DEADLINE
            assert time.monotonic() - start_s < 40
            await self.eventually(harness, lambda seen: seen["cancelled"] == 1)

    async def test_rpc_a_reset_during_the_run_cancels_the_handler(self) -> None:
        async with self.rpc() as (harness, client):
            stream = await client.open(RPC_PREFIX + "Sleep")
            await stream.send(b"60")
            await stream.half_close()
            await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
            await stream.cancel()
            await self.eventually(harness, lambda seen: seen["cancelled"] == 1 == seen["told_cancelled"])

    async def test_rpc_a_reset_before_the_message_starts_nothing(self) -> None:
        async with self.rpc() as (harness, client):
            stream = await client.open(RPC_PREFIX + "Sleep")
            await asyncio.sleep(0.05)
            await stream.cancel()
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0
            assert (await counters(harness))["sleeping"] == 0

    async def test_rpc_a_reset_while_the_client_streams(self) -> None:
        async with self.rpc() as (harness, client):
            stream = await client.open(RPC_PREFIX + "Sizes")
            await stream.send(b"first")
            await self.eventually(harness, lambda seen: seen["sizing"] == 1)
            await stream.cancel()
            # a server may take the reset for the end of the stream; its answer then has no reader
            await self.eventually(
                harness,
                lambda seen: seen["cancelled"] == 1 or seen["answered"] == seen["written"] == 1,
            )

    async def test_rpc_a_reset_of_a_server_stream_closes_the_generator(self) -> None:
        async with self.rpc() as (harness, client):
            stream = await client.open(RPC_PREFIX + "Watch")
            await stream.send(b"")
            await stream.half_close()
            assert await stream.receive() == b"watching"
            await stream.cancel()
            await self.eventually(harness, lambda seen: seen["streams_closed"] == 1 == seen["written"])

    async def test_rpc_many_resets_leave_a_working_server(self) -> None:
        async with self.rpc() as (harness, client):

            async def reset(delay_s: float) -> None:
                stream = await client.open(RPC_PREFIX + "Sleep")
                await stream.send(b"0.02")
                await asyncio.sleep(delay_s)
                await stream.cancel()

            await asyncio.gather(*(reset(number / 2000) for number in range(100)))
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0
            await self.eventually(harness, lambda seen: seen["written"] == seen["answered"])

    # --- compression and limits -------------------------------------------------------------------

    async def test_rpc_gzip_both_ways(self) -> None:
        body = b"compressible " * 10_000
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Echo", body, gzip=True)
            plain = await client.unary(RPC_PREFIX + "Echo", body)
            stream = await client.open(RPC_PREFIX + "Chat", gzip=True)
            await stream.send(body)
            assert brief(await stream.receive()) == brief(body.upper())
            await stream.half_close()
            await stream.end()
        assert _briefly(reply) == _briefly(plain) == [brief(body)]
        assert reply.was_compressed in (None, self.compresses_answers)

    async def test_rpc_a_gzip_bomb_is_refused(self) -> None:
        limits = HarnessSettings(max_inflated_bytes=4 * MIB)
        async with self.rpc(limits) as (_, client):
            reply = await client.unary(RPC_PREFIX + "Echo", bytes(40 * MIB), gzip=True)
            assert reply.status == _EXHAUSTED
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0

    async def test_rpc_a_message_over_the_limit_is_refused(self) -> None:
        async with self.rpc(HarnessSettings(max_message_bytes=MIB)) as (_, client):
            assert (await client.unary(RPC_PREFIX + "Echo", bytes(MIB))).status == 0
            assert (await client.unary(RPC_PREFIX + "Echo", bytes(MIB + 1))).status == _EXHAUSTED
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0

    async def test_rpc_large_metadata_is_refused(self) -> None:
        if not self.limits_headers:
            pytest.skip("the foreign server limits headers, not the transport")
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Echo", metadata=(("large", "x" * 64 * KIB),))
            assert reply.status in (_EXHAUSTED, _INTERNAL, _UNAVAILABLE)
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0

    async def test_rpc_an_exhausted_budget_refuses_and_recovers(self) -> None:
        async with self.rpc(HarnessSettings(budget_bytes=MIB)) as (harness, client):
            refused = await client.unary(RPC_PREFIX + "Echo", bytes(2 * MIB))
            assert refused.status == _EXHAUSTED
            assert "bodies in flight" in refused.message
            # what one call holds is missing for others, and comes back
            holding = await client.open(RPC_PREFIX + "Sleep")
            await holding.send(b"60".ljust(900 * KIB))
            await holding.half_close()
            await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
            assert (await client.unary(RPC_PREFIX + "Echo", bytes(200 * KIB))).status == _EXHAUSTED
            await holding.cancel()
            await self.eventually(harness, lambda seen: seen["in_use_bytes"] == 0)
            assert (await client.unary(RPC_PREFIX + "Echo", bytes(900 * KIB))).status == 0

    async def test_rpc_64_mib_both_ways(self) -> None:
        body = noise(MIB) * 64
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Echo", body)
        assert reply.status == 0, reply.message
        assert brief(reply.messages[0]) == brief(body)

    # --- the end of an answer, and of a server ----------------------------------------------------

    async def test_rpc_on_written_is_called_exactly_once(self) -> None:
        async with self.rpc() as (harness, client):
            await client.unary(RPC_PREFIX + "Echo", b"x")
            await client.unary(RPC_PREFIX + "Pieces", b"xyz")
            await client.unary(RPC_PREFIX + "Fail", b'{"status": 5, "message": "no"}')
            await client.unary(RPC_PREFIX + "BadMetadata")
            await client.unary(RPC_PREFIX + "Count", b'{"to": 3}')
            await client.unary(RPC_PREFIX + "Count", b'{"to": 3, "fail": true}')
            await client.unary(RPC_PREFIX + "Count", b'{"to": 3, "raise": true}')
            stream = await client.open(RPC_PREFIX + "Count")
            await stream.send(b'{"to": 1000, "pause_s": 0.01}')
            await stream.half_close()
            assert await stream.receive() == b"0"
            await stream.cancel()
            seen = await self.eventually(harness, lambda seen: seen["answered"] == 8 and seen["written"] >= 8)
            await asyncio.sleep(0.05)
            assert (await counters(harness))["written"] == seen["answered"] == 8

    async def test_rpc_draining_finishes_what_runs_and_refuses_what_comes(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            client = harness.rpc_client()
            try:
                running = asyncio.create_task(client.unary(RPC_PREFIX + "Sleep", b"2"))
                await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
                draining = asyncio.create_task(harness.drain(60))
                while (refused := await client.unary(RPC_PREFIX + "Echo", b"late")).status == 0:
                    pass  # a foreign server is told to drain by a message, which may take its time
                assert (refused.status, refused.message) == (_UNAVAILABLE, "draining")
                finished = await running
                assert (finished.status, list(finished.messages)) == (0, [b"slept"])
                await asyncio.wait_for(draining, 60)
            finally:
                await client.close()

    async def test_rpc_draining_ends_streams_that_only_watch(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            client = harness.rpc_client()
            try:
                stream = await client.open(RPC_PREFIX + "Watch")
                await stream.send(b"")
                await stream.half_close()
                assert await stream.receive() == b"watching"
                start_s = time.monotonic()
                await harness.drain(60)
                assert time.monotonic() - start_s < 40
                ended = await stream.end()
                assert (ended.status, ended.message) == (_UNAVAILABLE, "draining")
            finally:
                await client.close()

    async def test_rpc_a_drain_gives_up_when_its_time_is_up(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            client = harness.rpc_client()
            try:
                running = asyncio.create_task(client.unary(RPC_PREFIX + "Sleep", b"60"))
                await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
                start_s = time.monotonic()
                await harness.drain(0.3)
                assert 0.25 < time.monotonic() - start_s < 40
                await harness.stop()
                ended = await running
                assert ended.status in (_UNAVAILABLE, _CANCELLED)
            finally:
                await client.close()

    async def test_rpc_draining_under_load_resets_nothing(self) -> None:
        async with self.running(may_leave_bytes=True) as harness:
            clients = [harness.rpc_client() for _ in range(8)]
            try:
                await asyncio.gather(*(client.unary(RPC_PREFIX + "Echo", b"connected") for client in clients))
                loops = [asyncio.create_task(_call_until_refused(client)) for client in clients]
                await asyncio.sleep(0.3)
                await harness.drain(60)
                ends = await asyncio.gather(*loops)
                assert {(end.status, end.message) for end in ends} == {(_UNAVAILABLE, "draining")}
            finally:
                for client in clients:
                    await client.close()

    async def test_rpc_stop_is_idempotent_and_needs_no_drain(self) -> None:
        harness: TransportHarness
        async with self.running(may_leave_bytes=True) as harness:
            await harness.stop()


async def _call_until_refused(client: RpcClient) -> RpcReply:
    while True:
        reply = await client.unary(RPC_PREFIX + "Sleep", b"0.005")
        if reply.status:
            return reply
