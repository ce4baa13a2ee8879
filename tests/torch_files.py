"""Writes torch's file format from before zip, byte by byte, as torch does and as no torch would."""

import struct
from collections.abc import Mapping

import numpy as np

from pipeline.models.torch_file import MAGIC

MARK, STOP, DICT, NEW_DICT = b"(", b".", b"ccollections\nOrderedDict\n", b"ccollections\nOrderedDict\n)R"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
NAMES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte", "b1": "Bool"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(values) -> bytes:
    return MARK + b"".join(map(number, values)) + b"t"


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + STOP


def storage(key: str, dtype: np.dtype, elements: int) -> bytes:
    kind = b"ctorch\n" + NAMES[dtype.str[1:]].encode() + b"Storage\n"
    return MARK + text("storage") + kind + text(key) + text("cpu") + number(elements) + b"NtQ"


def tensor(store: bytes, offset: int, shape, strides) -> bytes:
    return TENSOR + MARK + store + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + NEW_DICT + b"tR"


def machine(*, little_endian: bool = True) -> bytes:
    return program(b"}(" + text("little_endian") + (b"\x88" if little_endian else b"\x89") + b"u")


def whole(state: bytes, keys: list[str], values: bytes, *, version: int = 1001, about: bytes | None = None) -> bytes:
    listed = program(b"](" + b"".join(map(text, keys)) + b"e")
    return MAGIC + program(number(version)) + (about or machine()) + program(state) + listed + values


def raw(values: np.ndarray) -> bytes:
    return struct.pack("<q", values.size) + values.tobytes()


def content(tensors: Mapping[str, np.ndarray]) -> bytes:
    """A state dict, each tensor in a storage of its own, with the strides that its array has."""
    entries, keys, stored = b"", [], b""
    for place, (name, values) in enumerate(tensors.items()):
        key, dtype = str(1000 + place), values.dtype
        base = (
            values
            if values.flags.c_contiguous
            else np.lib.stride_tricks.as_strided(values, (values.size,), (dtype.itemsize,))
        )
        strides = [stride // dtype.itemsize for stride in values.strides]
        entries += text(name) + tensor(storage(key, dtype, values.size), 0, values.shape, strides)
        keys.append(key)
        stored += raw(base.reshape(-1))
    return whole(NEW_DICT + MARK + entries + b"u", keys, stored)
