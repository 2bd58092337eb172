"""Logs: one line an event, in the form that the reader needs; nothing on import."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import warnings

import pytest
import structlog

from navi_core.logs import configure_logging, event_writer, use_stdlib_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    noisy = {name: logging.getLogger(name).level for name in ("aiohttp.access", "grpc", "asyncio")}
    was = structlog.get_config() if structlog.is_configured() else None
    showwarning = warnings.showwarning
    yield
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in noisy.items():
        logging.getLogger(name).setLevel(old)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    if was is not None:
        structlog.configure(**was)


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json__one_object_a_line_with_every_key():
    stream = io.StringIO()
    configure_logging(stream=stream)
    structlog.get_logger("navi.manager").info("servable_loaded", model="m", version=3, note="two\nlines")
    (entry,) = lines(stream)
    timestamp = entry.pop("timestamp")
    assert timestamp.endswith("Z")
    assert entry == {
        "event": "servable_loaded",
        "level": "info",
        "logger": "navi.manager",
        "model": "m",
        "note": "two\nlines",
        "version": 3,
    }


def test_json__begins_with_what_every_event_has():
    stream = io.StringIO()
    configure_logging(stream=stream)
    structlog.get_logger("navi").info("a_b", alpha=1)
    assert list(lines(stream)[0]) == ["timestamp", "level", "logger", "event", "alpha"]


def test_auto__console_when_a_person_watches():
    stream = Terminal()
    configure_logging(stream=stream)
    structlog.get_logger("navi").info("servable_loaded", model="m")
    assert "\x1b[" in stream.getvalue()
    assert "servable_loaded" in stream.getvalue()


def test_console__without_colour_where_it_is_asked_for_but_nobody_watches():
    stream = io.StringIO()
    configure_logging(stream=stream, log_format="console")
    structlog.get_logger("navi").warning("queue_full", model="m")
    assert "\x1b[" not in stream.getvalue()
    assert "queue_full" in stream.getvalue()
    assert "model=m" in stream.getvalue()


def test_json__where_a_person_watches_but_asked_for_it():
    stream = Terminal()
    configure_logging(stream=stream, log_format="json")
    structlog.get_logger("navi").info("a_b")
    assert lines(stream)[0]["event"] == "a_b"


def test_level__hides_what_is_below():
    stream = io.StringIO()
    configure_logging(stream=stream, level="warning")
    structlog.get_logger("navi").info("hidden")
    logging.getLogger("some.library").info("hidden")
    structlog.get_logger("navi").error("shown")
    logging.getLogger("some.library").warning("shown too")
    assert [entry["event"] for entry in lines(stream)] == ["shown", "shown too"]


def test_standard_library_records__have_the_same_form():
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("some.library").warning("%d of %s", 3, "things", extra={"peer": "1.2.3.4"})
    (entry,) = lines(stream)
    assert (entry["event"], entry["level"], entry["logger"], entry["peer"]) == (
        "3 of things",
        "warning",
        "some.library",
        "1.2.3.4",
    )


@pytest.mark.parametrize("name", ["aiohttp.access", "grpc._cython.cygrpc", "asyncio"])
def test_noise__of_transport_libraries_is_left_out(name):
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger(name).info("GET /")
    logging.getLogger(name).error("broken")
    assert [entry["event"] for entry in lines(stream)] == ["broken"]


@pytest.mark.parametrize(("before", "after"), [(None, "ERROR"), ("DEBUG", "DEBUG")])
def test_grpc_core__is_told_to_be_quiet_unless_somebody_asked_it_to_speak(monkeypatch, before, after):
    monkeypatch.setenv("GRPC_VERBOSITY", before or "")
    if before is None:
        monkeypatch.delenv("GRPC_VERBOSITY")
    configure_logging(stream=io.StringIO())
    assert os.environ["GRPC_VERBOSITY"] == after


def test_context_variables__are_merged_into_all_events():
    stream = io.StringIO()
    configure_logging(stream=stream)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("navi").info("a_b")
        logging.getLogger("some.library").warning("c")
    assert [entry["request_id"] for entry in lines(stream)] == ["r1", "r1"]


def test_exceptions__stay_within_their_line():
    stream = io.StringIO()
    configure_logging(stream=stream)
    try:
        {}["boom"]
    except KeyError:
        structlog.get_logger("navi").exception("load_failed")
        logging.getLogger("some.library").exception("failed")
    ours, theirs = lines(stream)
    assert "KeyError: 'boom'" in ours["exception"]
    assert "KeyError: 'boom'" in theirs["exception"]


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), "\ud800", {(1, 2): 3}, b"\xff", float("nan"), ValueError("x"), 2**70]
)
def test_any_value__never_loses_the_event(value):
    stream = io.StringIO()
    configure_logging(stream=stream)
    structlog.get_logger("navi").info("a_b", value=value)
    (entry,) = lines(stream)
    assert entry["event"] == "a_b"
    assert "value" in entry


def test_warnings__become_events():
    stream = io.StringIO()
    configure_logging(stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old name", DeprecationWarning, stacklevel=1)
    (entry,) = lines(stream)
    assert entry["logger"] == "py.warnings"
    assert "old name" in entry["event"]


def test_configuring_twice__writes_once():
    first, second = io.StringIO(), io.StringIO()
    configure_logging(stream=first)
    configure_logging(stream=second, level="error")
    structlog.get_logger("navi").error("a_b")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize("wrong", [{"level": "loud"}, {"log_format": "xml"}])
def test_unknown_words__are_refused(wrong):
    with pytest.raises(ValueError, match="expected one of"):
        configure_logging(stream=io.StringIO(), **wrong)


def test_use_stdlib_logging__sends_events_to_loggers_of_the_same_name(caplog):
    structlog.reset_defaults()
    use_stdlib_logging()
    with caplog.at_level(logging.INFO, logger="navi.manager"):
        structlog.get_logger("navi.manager").info("servable_loaded", model="m")
        structlog.get_logger("navi.manager").debug("hidden")
    assert caplog.record_tuples == [("navi.manager", logging.INFO, "event='servable_loaded' model='m'")]


def test_use_stdlib_logging__leaves_a_programs_configuration_alone():
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    before = structlog.get_config()
    use_stdlib_logging()
    assert structlog.get_config() == before


def test_importing__configures_nothing():
    code = (
        "import logging, structlog, navi_core.logs;"
        "assert not structlog.is_configured();"
        "assert logging.getLogger().handlers == []"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- events of every request ------------------------------------------------------------------


FIELDS = {"path": "/m\x00\u2028", "rows": 3, "bad": "\udcff", "odd": {1, 2}}


def test_event_writer__writes_json_as_structlog_does_beside_it():
    stream = io.StringIO()
    configure_logging(stream=stream, worker=2)
    event_writer("navi.access")(logging.INFO, "request", FIELDS)
    structlog.get_logger("navi.access").info("request", **FIELDS)
    quick, usual = lines(stream)
    assert list(quick)[:4] == ["timestamp", "level", "logger", "event"]
    assert quick.pop("timestamp")[:13] <= usual.pop("timestamp")[:13]
    assert quick == usual
    assert quick["worker"] in (2, "2")  # a field that JSON has no form for makes texts of all


def test_event_writer__writes_nothing_below_the_level():
    stream = io.StringIO()
    configure_logging(stream=stream, level="info")
    write = event_writer("navi.access")
    write(logging.DEBUG, "request", {})
    write(logging.INFO, "request", {})
    assert [entry["level"] for entry in lines(stream)] == ["info"]


def test_event_writer__goes_the_usual_way_for_people_and_for_other_handlers():
    stream = Terminal()
    configure_logging(stream=stream)
    event_writer("navi.access")(logging.INFO, "request", {"rows": 3})
    assert "rows" in stream.getvalue()
    assert "{" not in stream.getvalue()
    seen = []

    class Other(logging.Handler):
        def emit(self, record):
            seen.append(record)

    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger().addHandler(Other())
    event_writer("navi.access")(logging.INFO, "request", {"rows": 3})
    assert len(seen) == len(lines(stream)) == 1


def test_event_writer__a_stream_that_takes_no_more_fails_nobody():
    stream = io.StringIO()
    configure_logging(stream=stream)
    write = event_writer("navi.access")
    stream.close()
    write(logging.INFO, "request", {})
