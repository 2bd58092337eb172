"""``navi-host``, except that nothing is counted, logged or observed: what those cost is measured against this."""

from __future__ import annotations

import logging

import structlog

from navi_core.cli.main import main
from navi_core.metrics.recorders import SignatureMetrics
from navi_core.metrics.tallies import VersionTally


def _nothing(*_arguments: object, **_more: object) -> None:
    """Count nothing."""


for _recorder, _names in (
    (
        SignatureMetrics,
        ("request_finished", "batch_finished", "ran_at_once", "encoded", "work_saved", "retried"),
    ),
    (VersionTally, ("succeeded", "failed", "encoded")),
):
    for _name in _names:
        setattr(_recorder, _name, _nothing)

if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    main()
