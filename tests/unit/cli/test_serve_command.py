"""``serve`` up to the moment when a host would start; a transport that hosts navi gets the configuration."""

from __future__ import annotations

import os
import socket

import msgspec
import pytest

from navi_core.cli.main import run
from navi_core.cli.state import CliState
from navi_core.config.load import load_config
from navi_core.config.records import BatchingSettings
from navi_core.contracts.foreign import ForeignServer
from navi_core.contracts.transport import Address, Transport
from navi_core.errors import PluginNotFoundError
from navi_core.hosted.orders import ORDERS_VARIABLE, Orders


class Ours(Transport):
    name = "grpc"
    carries = frozenset({"rpc"})
    default_port = 8500

    async def start(self, router, options):
        raise NotImplementedError

    async def drain(self, timeout_s):
        raise NotImplementedError

    async def stop(self):
        raise NotImplementedError


class Theirs(Ours):
    name = "theirs"
    hosting = "hosts_us"
    carries = frozenset({"rpc", "http"})
    launched: list = []

    def launch(self, plan):
        return TheirServer(plan, self.launched)


class TheirServer(ForeignServer):
    """A server whose application starts, and which ends by itself at once."""

    def __init__(self, plan, launched):
        self._plan = plan
        self._launched = launched

    async def start(self):
        orders = msgspec.json.decode(self._plan.environ[ORDERS_VARIABLE], type=Orders)
        with socket.socket(fileno=os.dup(orders.control_fd)) as control:
            control.sendall(b'{"event": "started"}\n')
        self._launched.append((load_config(orders.config_path), self._plan))
        return [Address("theirs", self._plan.host, self._plan.port)]

    async def begin_drain(self):
        raise NotImplementedError

    async def drain(self, timeout_s):
        raise NotImplementedError

    async def stop(self):
        pass

    async def wait(self):
        return "it had enough"


class FakeRegistry:
    def transports(self):
        return {"grpc": Ours, "theirs": Theirs}

    def transport(self, name):
        if name not in self.transports():
            raise PluginNotFoundError(f"no transport is called '{name}'")
        return self.transports()[name]

    def runtimes(self):
        return []

    def converters(self):
        return []

    def commands(self, reserved=frozenset()):
        return {}


@pytest.fixture
def serve(capsys):
    Theirs.launched.clear()

    def serve(*args: str) -> tuple[int, str]:
        status = run(["serve", *args], CliState(FakeRegistry))
        return status, capsys.readouterr().err

    return serve


def test_a_transport_that_hosts_us__is_launched_with_the_whole_configuration(serve, tmp_path):
    (tmp_path / "a").mkdir()
    status, err = serve(
        "-m", str(tmp_path / "a"), "--transport", "theirs", "--port", "9", "--max-batch-size", "4", "--admin"
    )
    assert status == 1
    assert "it had enough" in err
    ((config, plan),) = Theirs.launched
    assert (plan.app, plan.port, plan.reuse_port) == ("navi_core.hosted.app:app", 9, False)
    assert config.models[0].path == str(tmp_path / "a")
    assert config.models[0].batching == BatchingSettings(max_batch_requests=4)
    assert {name: said.port for name, said in config.transports.items()} == {"theirs": 9}
    assert config.admin is True


def test_a_transport_that_hosts_us__must_be_the_only_one(serve):
    status, err = serve("-m", "a", "--transport", "theirs", "--transport", "grpc")
    assert status == 2
    assert err == (
        "navi-host: --transport: transport 'theirs' hosts navi itself, so it must be the only one, got 'grpc', too\n"
    )
    assert Theirs.launched == []


def test_model_dir__that_names_no_directory_is_named_by_where_it_is(serve, tmp_path, monkeypatch):
    (tmp_path / "ranker").mkdir()
    monkeypatch.chdir(tmp_path / "ranker")
    assert serve("-m", ".", "--transport", "theirs")[0] == 1
    ((config, _),) = Theirs.launched
    assert config.models[0].model_name == "ranker"


def test_config__errors_name_the_file_and_the_place(serve, tmp_path):
    file = tmp_path / "host.toml"
    file.write_text('[[models]]\npath = "a"\nbatching.max_batch_rows = "many"\n')
    status, err = serve("--config", str(file))
    assert (status, err) == (
        2,
        f'navi-host: {file}: models[0].batching.max_batch_rows: expected int >= 1, got "many"\n',
    )
