"""The kind of machine, as far as its clock goes: macOS, WSL, a container, or one whose own kernel answers for the time."""

import platform
from pathlib import Path

CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
KERNEL = Path("/proc/sys/kernel/osrelease")


def kind_of_machine(system: str = "", marks: tuple[Path, ...] = CONTAINER_MARKS, kernel: Path = KERNEL) -> str:
    """Return `macOS`, `WSL` or `a container` where the kernel does not answer for the clock; empty on a machine that does."""
    if (system or platform.system()) == "Darwin":
        return "macOS"
    try:
        if "microsoft" in kernel.read_text(encoding="utf-8").lower():
            return "WSL"
    except OSError:
        return ""
    return "a container" if any(mark.exists() for mark in marks) else ""
