"""The CPU: two models may round differently, for XLA writes other code for each."""

import platform
from pathlib import Path


def processor() -> str:
    """Returns the name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
