"""convexprune: prune speech encoders at the layer where their classes are most convex.

The public names are imported at their first use: importing the package loads neither torch nor numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convexprune.convexity.comparison import compare_convexity
    from convexprune.convexity.score import Convexity, graph_convexity
    from convexprune.models.pruning import prune

__all__ = ["Convexity", "__version__", "compare_convexity", "graph_convexity", "prune"]
__version__ = "0.2.0"

PUBLIC = {
    "Convexity": "convexprune.convexity.score",
    "compare_convexity": "convexprune.convexity.comparison",
    "graph_convexity": "convexprune.convexity.score",
    "prune": "convexprune.models.pruning",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
