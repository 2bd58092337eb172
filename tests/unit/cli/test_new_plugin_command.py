"""``navi-host new-plugin``: what it writes, what it refuses, and that nothing is overwritten."""

from __future__ import annotations

import ast
import tomllib

import pytest

from navi_core.cli.new_plugin import KINDS

COMMON = {"pyproject.toml", "README.md", ".gitignore"}


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x", "navi_foo", "a-name-of-very-nearly-thirty"])
def test_package__is_whole_and_has_its_own_names(navi_host, tmp_path, kind, name):
    ended = navi_host("new-plugin", name, "--kind", kind)
    assert (ended.status, ended.err) == (0, "")
    package = name.replace("-", "_")
    files = written(tmp_path / name)
    assert files >= {
        *COMMON,
        f"src/{package}/__init__.py",
        f"src/{package}/plugin.py",
        f"src/{package}/py.typed",
    }
    project = tomllib.loads((tmp_path / name / "pyproject.toml").read_text())
    assert project["project"]["name"] == name.replace("_", "-")
    assert list(project["project"]["entry-points"]["navi"].values()) == [f"{package}.plugin"]
    for path in files:
        text = (tmp_path / name / path).read_text()
        assert "${" not in text, path
        assert "IMPORT_NAME" not in path + text
        if path.endswith(".py"):
            ast.parse(text)


def test_runtime__is_the_kind_that_is_written_unasked(navi_host, tmp_path):
    assert navi_host("new-plugin", "x").status == 0
    assert "navi_register_runtimes" in (tmp_path / "x/src/x/plugin.py").read_text()


def test_output__says_what_to_do_next(navi_host):
    out = navi_host("new-plugin", "my-runtime").out
    assert out.splitlines() == [
        "my-runtime: a runtime 'my' that works; what to change is marked CHANGE",
        "  pip install -e 'my-runtime[test]' && pytest my-runtime",
    ]


def test_dir__is_the_folder_that_is_written(navi_host, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("deep/er", "empty"):
        assert navi_host("new-plugin", "x", "--dir", folder).status == 0
        assert (tmp_path / folder / "src/x/plugin.py").exists()
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_not_empty__is_left_alone(navi_host, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "pyproject.toml").write_text("mine")
    ended = navi_host("new-plugin", "x")
    assert ended.status == 2
    assert (
        ended.err
        == "navi-host: invalid value for 'NAME': 'x' is not empty (see 'navi-host new-plugin --help')\n"
    )
    assert written(tmp_path / "x") == {"pyproject.toml"}
    assert (tmp_path / "x" / "pyproject.toml").read_text() == "mine"


@pytest.mark.parametrize("make", ["touch", "dangling"])
def test_a_path_that_is_no_folder__is_left_alone(navi_host, tmp_path, make):
    target = tmp_path / "there"
    if make == "touch":
        target.touch()
    else:
        target.symlink_to(tmp_path / "nowhere")
    ended = navi_host("new-plugin", "x", "--dir", "there")
    assert ended.status == 2
    assert ended.err.startswith("navi-host: invalid value for '--dir': 'there' exists and is no folder")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["X", "json", "", "../x", "class"])
def test_a_bad_name__is_one_sentence_and_writes_nothing(navi_host, tmp_path, name):
    ended = navi_host("new-plugin", "--", name)
    assert ended.status == 2
    assert ended.err.startswith("navi-host: invalid value for 'NAME': ")
    assert ended.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"toy-site"}


def test_no_name_and_no_such_kind__are_bad_usage(navi_host):
    assert navi_host("new-plugin").status == 2
    assert navi_host("new-plugin", "x", "--kind", "observer").status == 2


def test_a_word_that_another_plugin_has__is_refused(navi_host):
    ended = navi_host("new-plugin", "navi-toy", plugins=("toy_runtime",))
    assert ended.status == 2
    assert "the runtime 'toy' is registered by toy-runtime 1.0" in ended.err


def test_the_same_plugin__is_written_again_while_it_is_installed(navi_host):
    assert navi_host("new-plugin", "toy-runtime", plugins=("toy_runtime",)).status == 0


def test_a_distribution_that_is_installed__is_warned_of(navi_host, tmp_path):
    # what pip would uninstall for it; its module is called otherwise, so nothing is hidden
    ended = navi_host("new-plugin", "grpcio")
    assert ended.status == 0
    assert ended.err.startswith("warning: grpcio ")
    assert "installing this package takes its place" in ended.err
    assert (tmp_path / "grpcio/pyproject.toml").exists()


def test_a_plugin_of_the_same_name_and_another_kind__is_warned_of(navi_host, tmp_path):
    ended = navi_host("new-plugin", "navi-toy", "--kind", "converter", plugins=("toy_runtime",))
    assert ended.status == 0
    assert ended.err == "warning: the runtime 'toy' of toy-runtime 1.0 has the same name\n"
    assert (tmp_path / "navi-toy/pyproject.toml").exists()
