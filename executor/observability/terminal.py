"""Standard output and error: whatever their encoding cannot write is shown as `?`, and never ends a program.

A leaf: imports nothing of ours.
"""

import io
import sys


def tolerate_encoding() -> None:
    """Let this process's standard streams replace characters that a terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test's or a notebook's own may be something else
            stream.reconfigure(errors="replace")
