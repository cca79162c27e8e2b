"""UTF-8 for text and names of files, whatever the locale says."""

from __future__ import annotations

import os
import sys


def use_utf8(*, restart: bool = True) -> None:
    """Start this program again in Python's UTF-8 mode if the locale has another encoding.

    Python 3.15 is always in that mode. In earlier versions a locale such as ISO-8859-1 decides how names of
    files and printed text are encoded, and how other packages read text. Programs that this one starts
    inherit the mode. Without `restart`, for callers whose arguments may no longer work, the program exits and
    says what to do.
    """
    if (encoding := sys.getfilesystemencoding()) == "utf-8":
        return
    if not restart or os.environ.get("PYTHONUTF8") == "1":  # set, but Python ignores it
        sys.exit(f"Names of files are {encoding} here, not UTF-8: set PYTHONUTF8=1 and run again")
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
