"""Helpers for every job: logs, files, progress, memory. No result depends on them.

They import no other subpackage.
"""
