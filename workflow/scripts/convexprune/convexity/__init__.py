"""Convexity scores from arrays, and a plan of layers to keep from the scores."""
