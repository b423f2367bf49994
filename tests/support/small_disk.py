"""A disk of a few megabytes that only processes of its own mount namespace see. Needs the right to mount."""

import contextlib
import subprocess
from pathlib import Path


class NoSmallDiskError(Exception):
    """It may not be mounted here."""


class SmallDisk:
    """Mounted at a folder, for those who enter; `path` reaches it from outside."""

    def __init__(self, at: Path, size: str) -> None:
        at.mkdir(parents=True, exist_ok=True)
        mount = f"mount -t tmpfs -o size={size} small {at} && echo mounted && exec sleep 3600"
        try:
            self._holder = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise NoSmallDiskError("unshare is not installed") from None
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"mounted\n":
            self.close()
            raise NoSmallDiskError("no right to mount a small disk")
        self.path = Path(f"/proc/{self._holder.pid}/root{at}")

    def enter(self, folder: Path) -> tuple[str, ...]:
        """Return what a command begins with that runs where the disk is."""
        return ("nsenter", "--target", str(self._holder.pid), "--mount", f"--wd={folder}", "--")

    def fill(self) -> None:
        """Leave no byte."""
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        """Make room again."""
        (self.path / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it; it ends with the last who entered."""
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()
