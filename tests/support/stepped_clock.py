"""Another time of day for single processes, which steps while they run. Needs a C compiler.

libfaketime can do it only for what sleeps by no steady clock, or steps that clock along: time would really pass for
whoever waits. The machine's clock is never touched. Units: seconds.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_suffix(".c")
_BYTES: Final = 8


class SteppedClock:
    """The time of day of the processes whose environment has `environ`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._library = folder / "stepped-clock.so"
        self._offset = folder / f"{name}-clock"
        self._offset.write_bytes(bytes(_BYTES))
        if not self._library.exists():
            build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE), "-ldl"]
            subprocess.run(build, check=True)

    @staticmethod
    def why_not() -> str:
        """Say why it cannot be had here, or nothing."""
        return "" if shutil.which("cc") else "there is no C compiler here"

    @property
    def environ(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCKSTEP": str(self._offset)}

    def step(self, seconds: int) -> None:
        """Be off by so much from now on."""
        with self._offset.open("r+b", buffering=0) as file:
            file.write(seconds.to_bytes(_BYTES, sys.byteorder, signed=True))
