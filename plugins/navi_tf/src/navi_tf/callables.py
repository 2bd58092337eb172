"""Callables of a session: its feeds and fetches bound once, so that a call costs little more than TensorFlow's own.

Session's pre-bound callable on the calling thread costs a twelfth of the public ``make_callable`` for a small graph
(TensorFlow 2.21, ``benchmarks/saved_models.py``). The first is private API, so it is tried on a graph of one operator before it is
relied upon; where it has gone or answers otherwise, the public one is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from navi_core import Array
from navi_tf.framework import config_pb2, tf, tf1

__all__ = ["Call", "has_prebound_callables", "make_call"]

Call = Callable[..., Sequence[Any]]
"""Arrays in the order of the feeds -> values in the order of the fetches: arrays, or scalars for rank 0."""

_CALLING_THREAD = -1
_SESSION_POOL = 0


def make_call(session: Any, feeds: Sequence[str], fetches: Sequence[str], *, inter_op: int) -> Call:
    """Bind feeds and fetches of a session.

    Parameters
    ----------
    session
        ``tf.compat.v1.Session``; the callable keeps it alive.
    feeds, fetches
        Names of tensors. A tensor may be in both, and several times in each.
    inter_op
        1: operators of a call run one after the other on the calling thread; else: in the session's pool.
    """
    fed = list(dict.fromkeys(feeds))
    fetched = [
        name for name in dict.fromkeys(fetches) if name not in fed
    ]  # TensorFlow refuses to fetch what it is fed
    if not fetched:  # nothing to compute
        return lambda *arrays: [arrays[feeds.index(name)] for name in fetches]
    pool = _CALLING_THREAD if inter_op == 1 else _SESSION_POOL
    make = _prebound if has_prebound_callables() else _public
    call = make(session, fed, fetched, pool)
    if fed == list(feeds) and fetched == list(fetches):
        return call

    def rearranged(*arrays: Array) -> Sequence[Any]:
        values = dict(zip(feeds, arrays, strict=True))
        results = call(*(values[name] for name in fed))
        values.update(zip(fetched, results, strict=True))
        return [values[name] for name in fetches]

    return rearranged


@cache
def has_prebound_callables() -> bool:
    """Tell whether this TensorFlow's sessions have the private callable, and it does what is expected of it."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf1.placeholder(tf.float32, [None], name="x")
        tf.add(x, x, name="y")
    try:
        with tf1.Session(graph=graph) as session:
            (value,) = _prebound(session, ["x:0"], ["y:0"], _CALLING_THREAD)(np.ones(2, np.float32))
    except Exception:  # whatever it is, there is the public way
        return False
    return isinstance(value, np.ndarray) and value.tolist() == [2, 2]


def _prebound(session: Any, feeds: Sequence[str], fetches: Sequence[str], pool: int) -> Call:
    options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
    options.run_options.inter_op_thread_pool = pool
    call: Call = session._make_callable_from_options(options)  # noqa: SLF001 - see the module's text
    return call


def _public(session: Any, feeds: Sequence[str], fetches: Sequence[str], pool: int) -> Call:
    call = session.make_callable(list(fetches), list(feeds), accept_options=True)
    options = config_pb2.RunOptions(inter_op_thread_pool=pool)
    return lambda *arrays: call(*arrays, options=options)
