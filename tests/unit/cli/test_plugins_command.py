"""``navi-host plugins``: everything usable, and one row with the reason for what is not."""

from __future__ import annotations

import json

import pytest

from navi_core.cli.plugins import COLUMNS


def rows(navi_host, *plugins: str) -> list[dict]:
    ended = navi_host("plugins", "--json", plugins=plugins)
    assert ended.status == 0
    return json.loads(ended.out)


def test_every_kind__is_listed_with_its_distribution(navi_host):
    found = rows(
        navi_host,
        "toy_runtime", "toy_converter", "toy_transport", "toy_service", "toy_source", "toy_command", "toy_observer",
    )  # fmt: skip
    kinds = {row["kind"] for row in found}
    assert kinds == {"runtime", "converter", "transport", "service", "source", "command", "observer"}
    assert {row["state"] for row in found} == {"loaded"}
    (runtime,) = [row for row in found if row["kind"] == "runtime"]
    assert runtime == {
        "kind": "runtime",
        "name": "toy",
        "plugin": "toy_runtime",
        "distribution": "toy-runtime",
        "version": "1.0",
        "state": "loaded",
        "reason": "",
    }


def test_broken_plugins__have_a_row_with_the_reason(navi_host):
    found = {row["name"]: row for row in rows(navi_host, "broken_import", "broken_version", "toy_runtime")}
    assert found["broken_import"]["state"] == "failed"
    assert "the moon is in the wrong phase" in found["broken_import"]["reason"]
    assert found["broken_version"]["state"] == "refused"
    assert "navi-core>=99" in found["broken_version"]["reason"]
    assert found["toy"]["state"] == "loaded"


def test_command_that_navi_host_has__is_refused_and_reported(navi_host, toy_site):
    package = toy_site.install("toy_command") / "toy_command"
    source = (package / "plugin.py").read_text()
    (package / "plugin.py").write_text(source.replace('"toy-greet"', '"serve"'))
    found = rows(navi_host)
    (row,) = [each for each in found if each["plugin"] == "toy_command"]
    assert (row["kind"], row["state"]) == ("plugin", "failed")
    assert row["reason"] == "navi_register_commands: navi-host has a command 'serve' of its own"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('return {"cache": "warm:\\n2 files"}', {"cache": "warm: 2 files"}),
        ("return {}", {}),
        ("return None", {}),
        ("return 7", {"toy_command": "navi_plugin_status raised AttributeError: 'int' object has no attribute 'items'"}),
        ("raise OSError('no disk')", {"toy_command": "navi_plugin_status raised OSError: no disk"}),
    ],
)  # fmt: skip
def test_status__is_what_plugins_say_of_themselves(navi_host, toy_site, body, said):
    package = toy_site.install("toy_command") / "toy_command"
    hook = f"\n\n@hookimpl\ndef navi_plugin_status():\n    {body}\n"
    (package / "plugin.py").write_text((package / "plugin.py").read_text() + hook)
    found = rows(navi_host)
    assert {row["name"]: row["reason"] for row in found if row["kind"] == "status"} == said
    assert {row["state"] for row in found} == {"loaded"}
    assert [row["name"] for row in found if row["kind"] == "command"] == ["toy-greet"]


def test_table__has_the_columns_and_is_never_cut(navi_host):
    ended = navi_host("plugins", plugins=("broken_import", "toy_runtime"))
    assert ended.status == 0
    head, *body = ended.out.splitlines()
    assert head.split() == list(COLUMNS)
    assert any("the moon is in the wrong phase" in line for line in body)
    assert "\x1b[" not in ended.out
