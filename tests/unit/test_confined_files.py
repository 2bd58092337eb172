from __future__ import annotations

import os

import pytest

from navi_core import ConfinementError, confined_file, confined_path


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"weights")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("/etc/passwd", "relative"),
        ("C:/secret", "relative"),
        ("\\\\host\\share", "relative"),
        ("weights\0.bin", "relative"),
        ("../secret", r"'\.\.' is not allowed"),
        ("a/../../secret", r"'\.\.' is not allowed"),
        ("..\\secret", r"'\.\.' is not allowed"),
    ],
)
def test_a_location_stays_below(model, location, why):
    with pytest.raises(ConfinementError, match=why):
        confined_path(model, location)


def test_a_file_inside_is_found_where_it_is(model):
    (model / "link").symlink_to("weights.bin")
    assert confined_file(confined_path(model, "link"), model) == (model / "weights.bin").resolve()


@pytest.mark.parametrize("kind", ["link out", "circle", "missing", "folder", "pipe"])
def test_what_is_no_file_inside_is_refused_without_its_path(model, kind):
    path = model / "named"
    if kind == "link out":
        path.symlink_to(model.parent / "secret")
    elif kind == "circle":
        path.symlink_to("named")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ConfinementError) as refused:
        confined_file(path, model)
    assert str(model) not in str(refused.value)


def test_a_file_with_another_name_needs_to_be_allowed(model):
    path = model / "other"
    os.link(model.parent / "secret", path)
    with pytest.raises(ConfinementError, match="2 names"):
        confined_file(path, model)
    assert confined_file(path, model, allow_hard_links=True) == path.resolve()
