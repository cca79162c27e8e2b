"""convexprune: prune speech encoders at the layer where their classes are most convex."""

__version__ = "0.1.0"
