"""A manager whose source is the test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np

from navi_core.batching.buffers import BufferPool
from navi_core.batching.threads import RunThreads
from navi_core.config.records import HostConfig, ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.data_plane import HostDataPlane
from navi_core.hookspecs import hookimpl
from navi_core.messages import InferenceRequest, ModelRef
from navi_core.metrics.metrics import Metrics
from navi_core.models.manager import ServableManager
from navi_core.plugins.observers import Observers
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of


class Recorder:
    def __init__(self):
        self.events = []

    @hookimpl
    def navi_servable_state_changed(self, event):
        self.events.append((event.version, event.after.value, bool(event.error)))


class Stage:
    """A manager whose source is the test."""

    ref = ModelRef("m")

    def __init__(self, root, threads, **config):
        self.root = root
        self.recorder = Recorder()
        registry = registry_of(runtimes=[AffineRuntime], observers=[self.recorder])
        config.setdefault("load_retry_interval_s", 0.01)
        self.metrics = Metrics()
        observers = Observers(registry.plugins)
        self.manager = ServableManager(
            registry,
            HostConfig(**config),
            pool=BufferPool(),
            threads=threads,
            metrics=self.metrics,
            observers=observers,
            max_concurrent_batches=2,
        )
        self.plane = HostDataPlane(
            self.manager, metrics=self.metrics, observers=observers, now=asyncio.get_running_loop().time
        )

    def add(self, **config):
        self.manager.add_model(ModelConfig(path=str(self.root / "m"), **config))

    def version(self, number, **fields):
        return Artifact(name="m", version=number, path=write_affine(self.root / "m", number, **fields))

    def states(self):
        return {status.version: status.state.value for status in self.manager.status("m")}

    async def ask(self, value=1.0, **ref):
        with self.plane.acquire(ModelRef("m", **ref)) as handle:
            return await self.ask_with(handle, value)

    @staticmethod
    async def ask_with(handle, value=1.0):
        x = np.full((1, 2), value, dtype=np.float32)
        response = await handle.infer(InferenceRequest(inputs={"x": x}))
        answer = (response.version, float(response.outputs["y"][0, 0]))
        response.release()
        return answer

    async def until(self, condition):
        changed = asyncio.Event()
        undo = self.manager.on_change(changed.set)
        try:
            async with asyncio.timeout(60):
                while not condition():
                    changed.clear()
                    await changed.wait()
        finally:
            undo()


@asynccontextmanager
async def make_stages(root):
    """Yield what makes stages; closes them."""
    threads = RunThreads(2)
    made = []

    def make(**config):
        made.append(Stage(root, threads, **config))
        return made[-1]

    yield make
    for one in made:
        await one.manager.close(60.0)
    threads.shutdown()
