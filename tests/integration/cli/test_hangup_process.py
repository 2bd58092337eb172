"""SIGHUP to a running host: other models are served, or the old ones go on."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from contextlib import suppress

import pytest

pytestmark = pytest.mark.integration

WAIT_S = 120.0


def serves(served, *names):
    """Wait until a host serves these models: several workers know it a moment after their parent has said so."""
    end, found = time.monotonic() + WAIT_S, None
    while time.monotonic() < end:
        with (
            suppress(urllib.error.HTTPError),
            urllib.request.urlopen(f"{served.http}/healthz/ready", timeout=60) as answer,
        ):
            found = sorted(json.load(answer)["models"])
        if found == list(names):
            return True
        time.sleep(0.02)
    raise AssertionError(f"expected {names}, got {found}")


def hang_up(served, event, count=1):
    """Send the signal, and return the event that follows; as often as it came before."""
    served.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = [each for each in served.events() if each["event"] == event]
        if len(found) >= count:
            return found[count - 1]
        assert served.process.poll() is None
        time.sleep(0.02)
    raise AssertionError(f"no {event} in {served.events()}")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_models_of_the_file_are_served(serve, toy_model, tmp_path, workers):
    file = tmp_path / "host.toml"

    def write(*paths):
        file.write_text("".join(f'[[models]]\npath = "{path}"\n' for path in paths))

    one, two, three = (toy_model(name) for name in ("one", "two", "three"))
    write(one, two)
    served = serve("--config", str(file), "-m", str(toy_model("flag")), "--workers", str(workers))
    served.wait_for("ready")
    write(two, three)
    done = hang_up(served, "config_reloaded")
    assert (done["added"], done["removed"]) == (["three"], ["one"])
    assert serves(served, "flag", "three", "two")
    write(two, three, tmp_path / "nowhere")
    refused = hang_up(served, "config_refused")
    assert "nowhere" in refused["error"]
    assert serves(served, "flag", "three", "two")
    file.write_text("models = 7\n")
    refused = hang_up(served, "config_refused", 2)
    assert str(file) in refused["error"]
    write(two, three)
    hang_up(served, "config_unchanged")
    assert serves(served, "flag", "three", "two")
    assert served.stop() == 0


def test_the_file_of_tensorflow_serving_is_read_again(serve, toy_model, tmp_path):
    file = tmp_path / "models.config"

    def write(**named):
        listed = "".join(
            f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }} '
            for name, path in named.items()
        )
        file.write_text(f"model_config_list {{ {listed} }}")

    toy = toy_model("one")
    write(first=toy)
    served = serve("--model-config-file", str(file))
    served.wait_for("ready")
    write(second=toy)
    done = hang_up(served, "config_reloaded")
    assert (done["added"], done["removed"]) == (["second"], ["first"])
    assert serves(served, "second")
    assert served.stop() == 0


def test_without_a_file_it_changes_nothing(serve, toy_model):
    served = serve("-m", str(toy_model()))
    served.wait_for("ready")
    assert hang_up(served, "signal_ignored")["signal"] == "SIGHUP"
    assert serves(served, "scaled")
    assert served.stop() == 0
