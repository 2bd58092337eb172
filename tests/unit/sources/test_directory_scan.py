"""What a look at a model directory finds, in directories of every kind."""

from __future__ import annotations

import os

import pytest

from navi_core.models.completeness import CompletenessRule
from navi_core.sources import directory_scan
from navi_core.sources.directory_scan import scan_model, scan_tree

STABLE = CompletenessRule()
MARKER = CompletenessRule(kind="marker", marker="_SUCCESS")


def write(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(listing):
    return [(each.name, each.version) for each in listing.versions]


def test_scan_model__takes_directories_whose_name_is_a_version(tmp_path):
    for name in ["1", "002", "2022-12-20T10:18:53.000Z", "v3", "-4", "4.0", "tmp"]:
        write(tmp_path / name / "model.onnx")
    write(tmp_path / "5")
    write(tmp_path / "META.json")
    listing = scan_model(tmp_path, STABLE, ())
    assert names(listing) == [("002", 2), ("1", 1), ("2022-12-20T10:18:53.000Z", 1671531533000)]
    assert listing.others == ("META.json",)
    assert listing.problem == ""


def test_scan_model__knows_a_directory_of_models(tmp_path):
    write(tmp_path / "b" / "1" / "model.onnx")
    write(tmp_path / "a" / "7" / "model.onnx")
    write(tmp_path / "docs" / "readme")
    write(tmp_path / "c")
    assert scan_model(tmp_path, STABLE, ()).models == ("a", "b")
    write(tmp_path / "3" / "model.onnx")
    assert scan_model(tmp_path, STABLE, ()).models == (), "it is a model itself"


def test_scan_model__follows_a_link_to_a_version(tmp_path):
    write(tmp_path / "store" / "abc" / "model.onnx")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "7").symlink_to(tmp_path / "store" / "abc")
    (tmp_path / "model" / "8").symlink_to(tmp_path / "nowhere")
    (tmp_path / "model" / "9").symlink_to(tmp_path / "model" / "9")
    listing = scan_model(tmp_path / "model", STABLE, ())
    assert names(listing) == [("7", 7)]
    assert {entry.name for entry in listing.versions[0].tree} == {".", "model.onnx"}


def test_scan_model__does_not_look_inside_what_is_known(tmp_path, monkeypatch):
    write(tmp_path / "1" / "model.onnx")
    write(tmp_path / "2" / "model.onnx")
    looked = []
    monkeypatch.setattr(directory_scan, "scan_tree", lambda path: looked.append(path.name) or scan_tree(path))
    listing = scan_model(tmp_path, STABLE, {"1"})
    assert looked == ["2"]
    assert names(listing) == [("1", 1), ("2", 2)]
    assert listing.versions[0].tree is None


def test_scan_model__a_single_file_is_version_1(tmp_path):
    file = write(tmp_path / "x.onnx", "12345")
    listing = scan_model(file, STABLE, ())
    assert (listing.is_file, names(listing)) == (True, [("x.onnx", 1)])
    [entry] = listing.versions[0].tree
    assert (entry.name, entry.size_bytes, entry.is_file) == ("x.onnx", 5, True)
    assert scan_model(file, STABLE, {"x.onnx"}).versions[0].tree == {entry}  # it may have been replaced
    (tmp_path / "link.onnx").symlink_to(file)
    [entry] = scan_model(tmp_path / "link.onnx", STABLE, ()).versions[0].tree
    assert (entry.name, entry.size_bytes) == ("link.onnx", 5)


def test_scan_model__a_single_file_has_no_place_for_a_marker(tmp_path):
    listing = scan_model(write(tmp_path / "x.onnx"), MARKER, ())
    assert listing.versions == ()
    assert listing.problem == "a single file, which cannot hold the marker '_SUCCESS'"


def test_scan_model__marker_rule_looks_for_the_marker_only(tmp_path):
    write(tmp_path / "1" / "model.onnx")
    write(tmp_path / "2" / "_SUCCESS")
    (tmp_path / "3" / "_SUCCESS").mkdir(parents=True)
    first, second, third = scan_model(tmp_path, MARKER, ()).versions
    assert first.tree == frozenset()
    assert [entry.name for entry in second.tree] == ["_SUCCESS"]
    assert not next(iter(third.tree)).is_file


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "no such file or directory"),
        (os.mkfifo, "neither a directory nor a file"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
    ],
    ids=["missing", "pipe", "loop"],
)
def test_scan_model__says_why_there_is_no_listing(tmp_path, make, expected):
    make(tmp_path / "model")
    listing = scan_model(tmp_path / "model", STABLE, ())
    assert expected == listing.problem
    assert listing.versions == ()


def test_scan_model__an_unreadable_version_is_a_problem_of_its_own(tmp_path, monkeypatch):
    write(tmp_path / "1" / "model.onnx")
    write(tmp_path / "2" / "model.onnx")
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path).endswith("/1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(directory_scan.os, "scandir", guarded)
    first, second = scan_model(tmp_path, STABLE, ()).versions
    assert (first.tree, first.problem) == (None, "permission denied")
    assert second.tree is not None


def test_scan_model__a_version_that_vanishes_meanwhile_is_not_there(tmp_path, monkeypatch):
    write(tmp_path / "1" / "model.onnx")

    def vanish(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(directory_scan, "scan_tree", vanish)
    listing = scan_model(tmp_path, STABLE, ())
    assert listing.versions == ()
    assert listing.problem == ""


def test_scan_model__odd_names_are_harmless(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY))
    listing = scan_model(tmp_path, STABLE, ())
    assert listing.others == (r"\udcff\udcfe",)


def test_scan_tree__lists_everything_with_sizes_and_times(tmp_path):
    file = write(tmp_path / "variables" / "data", "12345")
    os.utime(file, ns=(5, 7))
    (tmp_path / "empty").mkdir()
    entries = {entry.name: entry for entry in scan_tree(tmp_path)}
    assert set(entries) == {".", "variables", "variables/data", "empty"}
    assert entries["variables/data"][1:4] == (5, 7, True)
    assert entries["variables"].is_file is False
    assert entries["variables"].size_bytes == 0


def test_scan_tree__links_cannot_lead_astray(tmp_path):
    """A link to a file counts as the file; links to directories, loops and broken links are just names."""
    version, outside = tmp_path / "1", tmp_path / "outside"
    write(outside / "weights.bin", "1234567")
    version.mkdir()
    (version / "weights.bin").symlink_to(outside / "weights.bin")
    (version / "parent").symlink_to(tmp_path)
    (version / "root").symlink_to("/")
    (version / "self").symlink_to("self")
    (version / "broken").symlink_to("nothing")
    os.mkfifo(version / "fifo")
    entries = {entry.name: entry for entry in scan_tree(version)}
    assert set(entries) == {".", "weights.bin", "parent", "root", "self", "broken", "fifo"}
    assert (entries["weights.bin"].size_bytes, entries["weights.bin"].is_file) == (7, True)
    assert [name for name, entry in entries.items() if entry.is_file] == ["weights.bin"]


def test_scan_tree__survives_names_that_vanish(tmp_path, monkeypatch):
    write(tmp_path / "stays")
    write(tmp_path / "folder" / "gone")
    scandir = os.scandir

    def vanishing(path):
        if os.fspath(path).endswith("folder"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    monkeypatch.setattr(directory_scan.os, "scandir", vanishing)
    monkeypatch.setattr(
        directory_scan, "_stat", lambda child: None if child.name == "stays" else child.stat()
    )
    assert {entry.name for entry in scan_tree(tmp_path)} == {".", "folder"}


def test_scan_tree__ten_thousand_files(tmp_path):
    for folder in range(10):
        (tmp_path / str(folder)).mkdir()
        for number in range(1000):
            os.close(os.open(tmp_path / str(folder) / str(number), os.O_CREAT | os.O_WRONLY))
    first = scan_tree(tmp_path)
    assert len(first) == 10_011
    assert first == scan_tree(tmp_path)
    (tmp_path / "3" / "500").write_text("changed")
    assert len(first ^ scan_tree(tmp_path)) == 2


def test_scan_tree__too_many_names_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(directory_scan, "MAX_ENTRIES", 10)
    for number in range(20):
        write(tmp_path / "1" / str(number))
    (directory,) = scan_model(tmp_path, STABLE, ()).versions
    assert directory.problem == "more than 10 names in it"
    assert directory.tree is None
