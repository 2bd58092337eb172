"""What `navi-host predict --output` keeps in an .npz file."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from navi_core.cli.predict import save_arrays


def saved(tmp_path, **arrays):
    path = tmp_path / "outputs"
    save_arrays(path, arrays)
    with np.load(path) as file:
        return dict(file)


def test_save_arrays__numbers_and_words_are_read_back(tmp_path):
    y = np.arange(6, dtype=np.float32).reshape(3, 2)
    words = np.array([b"a", b"long"], dtype=object)
    found = saved(tmp_path, y=y, words=words)
    np.testing.assert_array_equal(found["y"], y)
    assert found["words"].tolist() == [b"a", b"long"]


def test_save_arrays__strings_that_end_in_a_zero_byte_keep_it(tmp_path):
    structs = np.array([[b"\x01\x00", b""], [b"x", b"\x00\x00"]], dtype=object)
    found = saved(tmp_path, structs=structs)
    assert sorted(found) == ["structs.bytes", "structs.ends"]
    ends = found["structs.ends"]
    assert ends.shape == structs.shape
    starts = [0, *ends.ravel()[:-1].tolist()]
    content = found["structs.bytes"].tobytes()
    cut = [content[start:stop] for start, stop in zip(starts, ends.ravel().tolist(), strict=True)]
    assert cut == structs.ravel().tolist()


def test_save_arrays__what_the_format_does_not_have_becomes_float32(tmp_path):
    found = saved(tmp_path, y=np.array([1.5], ml_dtypes.bfloat16))
    assert (found["y"].dtype, found["y"].tolist()) == (np.float32, [1.5])
