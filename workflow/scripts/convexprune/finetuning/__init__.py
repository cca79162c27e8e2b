"""Training of the full models, the pruned models and those of a sweep."""
