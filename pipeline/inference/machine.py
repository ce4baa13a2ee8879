"""The machine that this runs on, as far as it decides how fast a network is."""

import os
import platform
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = {  # by their flag in Linux: sets that speed up a convolution
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
    "amx_int8": "AMX INT8",
    "asimddp": "dot product",
    "bf16": "BF16",
    "i8mm": "I8MM",
}
INT8 = {"AVX-VNNI", "AVX-512 VNNI", "AMX INT8", "dot product", "I8MM"}  # add up products of 8 bits in 32
GPUS = ("nvidia[0-9]*", "kfd")  # device files of NVIDIA and AMD


def describe() -> dict[str, Any]:
    """`cpu`, `cores`, `instructions` (those of `INSTRUCTIONS` that it has) and `gpus` (device files)."""
    facts = _first_cpu()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return {
        "cpu": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "instructions": [name for flag, name in INSTRUCTIONS.items() if flag in flags],
        "gpus": sorted(device.name for pattern in GPUS for device in Path("/dev").glob(pattern)),
    }


def adds_up_int8() -> bool:
    """Whether the CPU adds up products of 8-bit numbers without overflow; AVX2 alone does it in 16 bits."""
    return bool(INT8 & set(describe()["instructions"]))


def has_gpu() -> bool:
    """Whether Keras finds a GPU; it is asked, which takes seconds, only where there may be one."""
    if not describe()["gpus"]:
        return False
    from pipeline.models import keras

    return bool(keras.distribution.list_devices("gpu"))


def _first_cpu() -> dict[str, str]:
    if not CPUINFO.exists():  # not Linux
        return {}
    lines = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
