"""Criteria by which a layer can be chosen: convexity, and what others have proposed, on one footing."""
