"""Programs as source that needs no Pride: one target language a file."""

from primitives.emit.optax import emit_optax
from primitives.emit.python import emit_python
from primitives.emit.text import emit_text
from primitives.emit.torch import emit_torch

__all__ = ["emit_optax", "emit_python", "emit_text", "emit_torch"]
