"""TensorFlow's texts as clients and operators get them. Texts are those of version 2.21."""

from __future__ import annotations

import pytest
from navi_tf.errors import clean_text, run_error
from navi_tf.framework import tf

from navi_core import ErrorCode, InferenceError, LifecycleError, RequestError

pytestmark = pytest.mark.integration

FUNCTION = """Graph execution error:

Detected at node v/read defined at (most recent call last):
  File "/srv/models/export.py", line 29, in <module>

Incompatible shapes: [2,3] vs. [5,3]
\t [[{{node v/read}}]] [Op:__inference_pruned_65]"""


def invalid(text):
    return tf.errors.InvalidArgumentError(None, None, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("indices[0] = 9 is not in [0, 2)\n\t [[{{node GatherV2}}]]", "indices[0] = 9 is not in [0, 2)"),
        (
            "Matrix size-incompatible: In[0]: [2,3], In[1]: [4,2]\n\t [[{{function_node __inference_f_7}}{{node MatMul}}]]",
            "Matrix size-incompatible: In[0]: [2,3], In[1]: [4,2]",
        ),
        (
            "{{function_node __wrapped__Reshape_device_/job:localhost/device:CPU:0}} Input to reshape is wrong [Op:Reshape]",
            "Input to reshape is wrong",
        ),
        (FUNCTION, "Incompatible shapes: [2,3] vs. [5,3]"),
        (
            (
                "Graph execution error:\n\nDetected at node init/Table defined at (most recent call last):\n"
                "<stack traces unavailable>\nwords.txt; No such file or directory\n\t [[{{node init/Table}}]] "
                "[Op:__inference_f_9]\n You may be trying to load on a different device"
            ),
            "words.txt; No such file or directory",
        ),
        (
            "Could not parse example input, value: 'sec'ret\nmore'\n\t [[{{node ParseExample/ParseExampleV2}}]]",
            "Could not parse example input",
        ),
        (
            "StringToNumberOp could not correctly convert string: secret\n\t [[{{node StringToNumber}}]]",
            "StringToNumberOp could not correctly convert",
        ),
        (
            (
                "assertion failed: [must be less] [Condition x < y did not hold element-wise:] [x (x:0) = ] "
                "[[42.25 42.25]...]\n\t [[{{node Assert}}]]"
            ),
            "assertion failed",
        ),
        (
            (
                "OOM when allocating tensor with shape[17592186044416,3] and type float on "
                "/job:localhost/replica:0/task:0/device:CPU:0 by allocator cpu\n\t [[{{node BroadcastTo}}]]\nHint: If"
            ),
            "OOM when allocating tensor with shape[17592186044416,3] and type float",
        ),
        (
            (
                "Could not find variable my_layer/kernel. This could mean that the variable has been deleted. Debug "
                "info: container=localhost, status error message=Resource localhost/my_layer/kernel/N10tensorflow3VarE"
            ),
            "Could not find variable",
        ),
        ("Attempting to use uninitialized value v2/x\n\t [[{{node v2/read}}]]", "Attempting to use uninitialized value"),
        ("/srv/secret/file.txt; No such file or directory\n\t [[{{node ReadFile}}]]", "<path>; No such file or directory"),
        ("Key 'secret' has type 'string'", "Key '...'"),
        (
            'ZeroDivisionError: division by zero\nTraceback (most recent call last):\n\n  File "/srv/x.py", line 269',
            "ZeroDivisionError: division by zero",
        ),
        ("", ""),
    ],
    ids=[
        "node", "function node", "eager", "interpolated", "without a stack", "example", "number", "assertion", "memory", "variable",
        "uninitialised", "path", "quoted", "python", "nothing",
    ],
)  # fmt: skip
def test_clean_text__is_one_line_without_names_paths_and_values(text, expected):
    assert clean_text(invalid(text)) == expected


def test_clean_text__of_a_load_keeps_names_and_hides_the_directory():
    text = (
        "Op type not registered 'MyOp' in binary running on host-7.internal. Make sure the Op is registered, "
        "see /srv/models/web/7/saved_model.pb or /etc/other"
    )
    assert clean_text(invalid(text), ("/srv/models/web/7",), keep_names=True) == (
        "Op type not registered 'MyOp'. Make sure the Op is registered, see saved_model.pb or <path>"
    )


def test_clean_text__is_short():
    assert len(clean_text(invalid("x " * 5000))) == 400


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (invalid("wrong"), RequestError, ErrorCode.INVALID_ARGUMENT),
        (tf.errors.OutOfRangeError(None, None, "end"), RequestError, ErrorCode.OUT_OF_RANGE),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), InferenceError, ErrorCode.RESOURCE_EXHAUSTED),
        (MemoryError(), InferenceError, ErrorCode.RESOURCE_EXHAUSTED),
        (tf.errors.UnimplementedError(None, None, "cast"), InferenceError, ErrorCode.UNIMPLEMENTED),
        (tf.errors.UnavailableError(None, None, "gone"), InferenceError, ErrorCode.UNAVAILABLE),
        (tf.errors.DataLossError(None, None, "lost"), InferenceError, ErrorCode.DATA_LOSS),
        (tf.errors.NotFoundError(None, None, "no model"), InferenceError, ErrorCode.INTERNAL),
        (tf.errors.FailedPreconditionError(None, None, "not ready"), InferenceError, ErrorCode.INTERNAL),
        (
            tf.errors.CancelledError(None, None, "Session has been closed."),
            InferenceError,
            ErrorCode.INTERNAL,
        ),
        (tf.errors.InternalError(None, None, "broken"), InferenceError, ErrorCode.INTERNAL),
        (ValueError("something"), InferenceError, ErrorCode.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_run_error__tells_faults_apart(error, kind, code):
    got = run_error(error, model="m", signature="serving_default")
    assert type(got) is kind
    assert got.code is code
    assert str(got).startswith("model 'm': ")
    if kind is InferenceError:
        assert got.out_of_memory is (code is ErrorCode.RESOURCE_EXHAUSTED)


def test_run_error__leaves_navi_s_own_alone():
    error = LifecycleError("closed")
    assert run_error(error, model="m", signature="s") is error
