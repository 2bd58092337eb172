"""The tables of the core's architecture: which module stands where, and what it may import."""

from __future__ import annotations

SPLIT = ("batching", "models", "plugins", "workers")
"""Folders whose files stand in different layers; each file has its own place."""

LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # A folder itself is a leaf: its __init__ holds nothing.
    (
        "leaves",
        (
            "error_codes",
            "errors",
            "types",
            "clock",
            "confined_files",
            "cores",
            "event_loops",
            "onnx_external_data",
            "protobuf_wire",
            "start_collection",
            *SPLIT,
        ),
    ),
    ("values", ("columns", "tensors", "signature", "messages", "config")),
    ("contracts", ("contracts", "hookspecs")),
    (
        "pure logic",
        (
            "batching.inlining",
            "batching.late",
            "batching.queue",
            "batching.turns",
            "models.lifecycle",
            "models.version_policy",
            "models.completeness",
            "workers.phases",
            "workers.pulse",
            "workers.restarts",
            "workers.swap",
        ),
    ),
    (
        "machinery",
        (
            "answering_ahead",
            "background",
            "batching.async_running",
            "batching.batcher",
            "batching.buffers",
            "batching.contexts",
            "batching.execution",
            "batching.failures",
            "batching.gathering",
            "batching.lane",
            "batching.lone",
            "batching.parts",
            "batching.pending",
            "batching.prepared",
            "batching.preparing",
            "batching.tasks",
            "batching.threads",
            "budget",
            "certificates",
            "logs",
            "logs_without_rich",
            "metrics",
            "models.batching_file",
            "models.keeper",
            "models.load_priority",
            "models.load_turns",
            "models.loading",
            "models.manager",
            "models.opening",
            "models.overrides",
            "models.records",
            "models.renewal",
            "models.replay",
            "models.served",
            "models.version_loader",
            "models.warmup",
            "plugins.commands",
            "plugins.discovery",
            "plugins.instances",
            "plugins.kinds",
            "plugins.observers",
            "plugins.registry",
            "plugins.shelf",
            "request_ids",
            "sources",
            "tasks",
            "workers.barrier",
            "workers.channel",
            "workers.frames",
            "workers.gathering",
            "workers.members",
            "workers.protocol",
            "workers.replica",
            "workers.seat",
        ),
    ),
    ("data plane", ("data_plane",)),
    (
        "host",
        (
            "access_log",
            "admin",
            "authorization",
            "confined_admin",
            "host",
            "host_thread",
            "hosted",
            "in_process",
            "keeping",
            "listeners",
            "model_reload",
            "models.watching",
            "needs",
            "openapi",
            "payloads",
            "plugins.builtin",
            "workers.fleet",
            "workers.inquiries",
            "workers.pictures",
            "workers.ports",
            "workers.processes",
            "workers.reception",
            "workers.supervisor",
            "workers.table",
            "routing",
        ),
    ),
    ("command line", ("cli", "__main__")),
)
"""A module imports from its own layer and from those above it in this table, never from one below."""

_PROTOCOL_PARTS = (
    "errors",
    "types",
    "clock",
    "tensors",
    "signature",
    "messages",
    "contracts",
    "hookspecs",
    "wire",
)

ISLANDS: dict[str, tuple[str, ...]] = {
    "wire": ("errors", "types", "clock", "tensors", "signature", "messages"),
    "services": (*_PROTOCOL_PARTS, "config"),  # admin operations take a model's configuration
    "transports": (*_PROTOCOL_PARTS, "request_ids"),  # an answer of a transport's own has the call's id
    "clients": _PROTOCOL_PARTS,
    "converters": _PROTOCOL_PARTS,
    "bench": (  # the load generator: a client of hosts, and nothing of a host
        "cores",
        "errors",
        "types",
        "tensors",
        "signature",
        "messages",
        "contracts",
        "clients",
    ),
}
"""What stands beside the layers: what it may import besides itself. The host joins these; the built-ins'
registration names them; nothing else does."""

MAY_IMPORT_ISLANDS = {
    "plugins.builtin": ("clients", "services", "transports", "converters"),
    "cli": ("bench", "clients", "wire"),  # the commands that are clients of a running host
    "models.batching_file": ("wire",),  # another server's parameters
    "workers.ports": ("transports",),  # a port is reserved as it is bound
    "models.replay": ("wire",),  # recorded requests are in a protocol's own form
}

FREE = ("testing", "")  # shipped test suites import anything; the package itself imports when a name is used


def unit_of(module: str) -> str:
    """Return the part of navi_core that a module belongs to: a file's or a folder's name."""
    parts = module.split(".")[1:]
    if not parts:
        return ""
    return ".".join(parts[:2]) if parts[0] in SPLIT else parts[0]
