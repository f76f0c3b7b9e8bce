"""What the sources of a spec hold, where a test needs a revision and has no source.

Not for: tests of looking sources up; see `tests/core/test_lookup.py`.
"""

from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.resolution import Resolution, Resolved, key_of, sources_of


def resolved(spec: InferenceServiceSpec, *, version: int = 7, digest: str | None = "sha256:a") -> Resolution:
    """Resolve each model of a spec to the version that it asks for, or else to the one given."""
    models = tuple(Resolved(source.name, source.version or version, digest) for source in sources_of(spec, None))
    return Resolution(key_of(spec), models, ())
