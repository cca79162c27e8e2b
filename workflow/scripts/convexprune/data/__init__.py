"""From recordings to datasets."""
