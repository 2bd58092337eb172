"""Registers the runtime ``sklearn``. Every host imports this module: it imports no scikit-learn."""

import io
import zipfile
from collections.abc import Sequence

from navi_core import Artifact, LoadOptions, Runtime, Servable, hookimpl

MODEL_FILE = "model.skops"
SAMPLE_FILE = "sample.npy"  # optional: rows as the estimator knows them


class SklearnRuntime(Runtime):
    """Serves fitted estimators and pipelines, stored with skops. Never a pickle: loading one runs its code."""

    name = "sklearn"

    def recognise(self, artifact: Artifact) -> str | None:
        """Go by the file's name."""
        return "skops" if artifact.has(MODEL_FILE) else None

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Load an estimator; raises ModelLoadError."""
        from navi_sklearn.servable import load_servable  # noqa: PLC0415 - imports scikit-learn

        return load_servable(artifact, options)

    def estimate_bytes(self, artifact: Artifact) -> int:
        """Return twice what the archive says that it unpacks to."""
        try:
            with zipfile.ZipFile(io.BytesIO(artifact.read(MODEL_FILE))) as archive:
                return 1 + 2 * sum(entry.file_size for entry in archive.infolist())
        except (OSError, zipfile.BadZipFile):  # load says what is wrong with it
            return 1


@hookimpl
def navi_register_runtimes() -> Sequence[type[Runtime]]:
    """Register the runtime."""
    return [SklearnRuntime]
