"""Tensors in torch's file format from before it became a zip file, read without torch.

Such a file holds five pickles (a magic number, the format's version, facts about the machine, the state dict, the keys
of its storages), then per storage the number of its elements and their values. A pickle is a program that may call
anything. Nothing can be called here: `pickletools` takes the pickle apart, and the few instructions that torch writes
for a state dict are followed; another one, or another global than those of tensors, is an error.
"""

import math
import pickletools
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, UsageError

SUFFIXES = (".pth", ".pt")
MAGIC = bytes.fromhex("80 02 8a 0a 6c fc 9c 46 f9 20 6a a8 50 19 2e")  # a pickle of protocol 2: torch's number
ZIP = b"PK"
VERSION = 1001
LENGTH = 8  # bytes of the number before a storage's values
MAX_DIMENSIONS = 8
TYPES = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "ShortStorage": "<i2",
}
OLD_FORMAT = "torch.save(model.state_dict(), FILE, _use_new_zipfile_serialization=False) writes one"


@dataclass(frozen=True)
class Global:
    module: str
    name: str


DICT, TENSOR = Global("collections", "OrderedDict"), Global("torch._utils", "_rebuild_tensor_v2")
ADMITTED = {DICT, TENSOR, *(Global("torch", name) for name in TYPES)}


@dataclass(frozen=True)
class Storage:
    """The values that tensors lie in."""

    key: str
    type: str
    elements: int


@dataclass(frozen=True)
class Tensor:
    """What a pickle says of a tensor: nothing in it is checked yet. Offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


def read(file: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict by name, as read-only views of what the file holds.

    Raises:
      UsageError: if there is no such file.
      DataError: if it is no such file of torch, is cut short or damaged, or holds anything but tensors.
    """
    if not file.is_file():
        raise UsageError("there is no such file of weights", where=file)
    with file.open("rb") as stream:
        start = stream.read(len(MAGIC))
        if start != MAGIC:
            what = "a zip file, as torch writes since 1.6" if start.startswith(ZIP) else "not a file of torch"
            raise DataError(f"{what}; its format from before is read", where=file, mend=OLD_FORMAT)
        content = stream.read()
    try:
        return _tensors(content)
    except ValueError as error:
        mend = f"fetch it again if it is damaged; {OLD_FORMAT}"
        raise DataError(f"not readable as a state dict of torch: {error}", where=file, mend=mend) from None


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    stream = BytesIO(content)
    if (version := _unpickled(stream)) != VERSION:
        raise ValueError("the version of the format is another" if isinstance(version, int) else "it has no version")
    machine, state, keys = _unpickled(stream), _unpickled(stream), _unpickled(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it does not say that its bytes are in the order little-endian")
    if not isinstance(state, dict) or not isinstance(keys, list):
        raise ValueError("it holds no dictionary of tensors")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name!r} is no tensor")
    storages = _storages(content, stream.tell(), keys, {tensor.storage for tensor in state.values()})
    return {name: _array(name, tensor, storages[tensor.storage.key]) for name, tensor in state.items()}


def _storages(content: bytes, start: int, keys: list, declared: set[Storage]) -> dict[str, np.ndarray]:
    """The values from byte `start` on, by the storages' keys in the order in which they lie there."""
    by_key = {storage.key: storage for storage in declared}
    if len(by_key) != len(declared):
        raise ValueError("one storage has two descriptions")
    if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(by_key):
        raise ValueError("the list of its storages is not that of its tensors")
    values = {}
    for key in keys:
        storage, dtype = by_key[key], np.dtype(TYPES[by_key[key].type])
        first = start + LENGTH
        end = first + storage.elements * dtype.itemsize
        if not first <= end <= len(content):
            raise ValueError(f"it ends within a storage of {storage.elements:,} elements")
        if int.from_bytes(content[start:first], "little") != storage.elements:
            raise ValueError("a storage has another number of elements than its tensor says")
        values[key] = np.frombuffer(content, dtype, storage.elements, first)
        start = end
    if start != len(content):
        raise ValueError(f"{len(content) - start:,} bytes are left over")
    return values


def _array(name: str, tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """The tensor as a view of its storage's values, once it is sure to lie within them."""
    shape, strides = tensor.shape, tensor.strides
    if not all(isinstance(number, int) and number >= 0 for number in (tensor.offset, *shape, *strides)):
        raise ValueError(f"{name}: shape and strides are no numbers of elements")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{name}: {len(shape)} dimensions and {len(strides)} strides")
    last = tensor.offset + sum((number - 1) * stride for number, stride in zip(shape, strides, strict=True))
    if 0 in shape or last >= len(values) or math.prod(shape) > len(values):
        raise ValueError(f"{name}: the tensor does not lie within its storage of {len(values):,} elements")
    steps = [stride * values.itemsize if number > 1 else 0 for number, stride in zip(shape, strides, strict=True)]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], shape, steps, writeable=False)


def _unpickled(stream: BytesIO) -> Any:
    """Follows one pickle of numbers, texts, tuples, lists, dictionaries by text, and tensors; leaves `stream` after it.

    Raises:
      ValueError: for anything else, and for a pickle that is cut short or makes no sense.
    """
    stack: list[Any] = []
    outer: list[list[Any]] = []  # the stacks below each mark
    memo: dict[int, Any] = {}
    argument: Any
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            match instruction.name:
                case "PROTO":
                    pass
                case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                    stack.append(argument)
                case "NONE" | "NEWTRUE" | "NEWFALSE":
                    stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction.name])
                case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                    stack.append({"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}[instruction.name]())
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[argument])
                case "MARK":
                    outer.append(stack)
                    stack = []
                case "TUPLE":
                    items, stack = stack, outer.pop()
                    stack.append(tuple(items))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    number = int(instruction.name[-1])
                    items = [stack.pop() for _ in range(number)]
                    stack.append(tuple(reversed(items)))
                case "APPEND":
                    item = stack.pop()
                    _extend(stack[-1], [item])
                case "APPENDS":
                    items, stack = stack, outer.pop()
                    _extend(stack[-1], items)
                case "SETITEM":
                    value, key = stack.pop(), stack.pop()
                    _set(stack[-1], [key], [value])
                case "SETITEMS":
                    items, stack = stack, outer.pop()
                    _set(stack[-1], items[::2], items[1::2])
                case "GLOBAL":
                    stack.append(_global(argument))
                case "BINPERSID":
                    stack.append(_storage(stack.pop()))
                case "REDUCE":
                    arguments, function = stack.pop(), stack.pop()
                    stack.append(_made(function, arguments))
                case "BUILD":  # attributes of the dictionary: the versions of the modules, which no weight depends on
                    stack.pop()
                case "STOP":
                    return stack.pop()
                case name:
                    raise ValueError(f"its pickle has the instruction {name}, which no state dict needs")
    except (IndexError, KeyError):
        raise ValueError("its pickle makes no sense") from None
    raise ValueError("its pickle has no end")


def _extend(items: Any, more: list) -> None:
    if not isinstance(items, list):
        raise ValueError("its pickle makes no sense")
    items.extend(more)


def _set(mapping: Any, keys: list, values: list) -> None:
    if not isinstance(mapping, dict) or len(keys) != len(values):
        raise ValueError("its pickle makes no sense")
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, str) or not key.isprintable():
            raise ValueError("a dictionary in it has a key that is no plain text")
        mapping[key] = value


def _global(argument: str) -> Global:
    wanted = Global(*argument.split(" ", 1))
    if wanted not in ADMITTED:
        name = f"{wanted.module}.{wanted.name}"[:80]
        raise ValueError(f"it asks for {name!r}; only plain tensors are read ({', '.join(TYPES)})")
    return wanted


def _storage(identity: Any) -> Storage:
    match identity:
        case ("storage", Global("torch", type_), str(key), str(), int(elements), None) if elements > 0:
            return Storage(key, type_, elements)
    raise ValueError("a storage in it is described in another way than torch does, or is part of another one")


def _made(function: Any, arguments: Any) -> Any:
    match function, arguments:
        case Global("collections"), ():
            return {}
        case Global("torch._utils"), (Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), dict()):
            return Tensor(storage, offset, shape, strides)
    raise ValueError("a tensor in it is described in another way than torch does")
