"""The config, and everything that is derived from it before a run."""
