"""torch's files from before zip: their tensors, and nothing else that such a file could ask for."""

import contextlib
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError, UsageError
from pipeline.models import torch_file
from tests import torch_files
from tests.torch_files import MARK, NEW_DICT, machine, program, raw, storage, tensor, text, whole

FLOAT = np.dtype("<f4")
SIX = np.arange(6, dtype=FLOAT)
TENSORS = {
    "kernel": np.arange(24, dtype=FLOAT).reshape(2, 3, 4).transpose(2, 0, 1),  # TensorFlow's order, as strides
    "small": np.array([0.5, -2], "<f2"),
    "double": np.array([[1e300]], "<f8"),
    "counter": np.array(7, "<i8"),
    "flags": np.array([True, False]),
}
WHOLE = torch_files.content(TENSORS)


@pytest.fixture
def read(tmp_path):
    def read(content: bytes) -> dict[str, np.ndarray]:
        file = tmp_path / "some.pth"
        file.write_bytes(content)
        return torch_file.read(file)

    return read


def one(*, elements: int = 6, offset: int = 0, shape=(2, 3), strides=(3, 1), values: bytes = raw(SIX)) -> bytes:
    described = text("w") + tensor(storage("1", FLOAT, elements), offset, shape, strides)
    return whole(NEW_DICT + MARK + described + b"u", ["1"], values)


def test_the_tensors_of_a_file_are_read_by_name_with_their_types_and_strides(read):
    tensors = read(WHOLE)
    assert list(tensors) == list(TENSORS)
    for name, values in TENSORS.items():
        assert tensors[name].dtype == values.dtype
        assert np.array_equal(tensors[name], values)
    assert tensors["kernel"].strides == TENSORS["kernel"].strides


def test_tensors_may_be_parts_of_one_storage(read):
    store = storage("1", FLOAT, 6)
    parts = text("row") + tensor(store, 3, (3,), (1,)) + text("column") + tensor(store, 1, (2,), (3,))
    tensors = read(whole(NEW_DICT + MARK + parts + b"u", ["1"], raw(SIX)))
    assert {name: values.tolist() for name, values in tensors.items()} == {"row": [3, 4, 5], "column": [1, 4]}


def test_the_versions_of_modules_that_torch_keeps_with_a_state_dict_are_passed_over(read):
    versions = b"}" + text("_metadata") + NEW_DICT + b"sb"
    state = NEW_DICT + MARK + text("w") + tensor(storage("1", FLOAT, 6), 0, (6,), (1,)) + b"u" + versions
    assert np.array_equal(read(whole(state, ["1"], raw(SIX)))["w"], SIX)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not a file of torch"),
        (b"PK\x03\x04 archive/data.pkl", "a zip file, as torch writes since 1.6"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{}", "not a file of torch"),
        (torch_files.MAGIC, "no end|makes no sense|exhausted"),
        (whole(b"}", [], b"", version=1002), "the version of the format is another"),
        (whole(b"}", [], b"", about=machine(little_endian=False)), "little-endian"),
        (whole(b"}", [], b"", about=program(b"}")), "little-endian"),
        (whole(b"](e", [], b""), "no dictionary of tensors"),
        (whole(b"}" + text("epoch") + torch_files.number(3) + b"s", [], b""), "'epoch' is no tensor"),
        (whole(b"}" + text("model") + b"}s", [], b""), "'model' is no tensor"),
        (whole(b"}" + torch_files.number(3) + b"Ns", [], b""), "a key that is no plain text"),
        (whole(b"}" + text("\x1b[2J") + b"Ns", [], b""), "a key that is no plain text"),
        (WHOLE + b"more", "4 bytes are left over"),
        (one(values=raw(SIX[:5])), "ends within a storage"),
        (one(values=raw(SIX)[:-1]), "ends within a storage"),
        (one(elements=5), "another number of elements"),
        (one(elements=10**15), "ends within a storage of 1,000,000,000,000,000 elements"),
        (one(elements=-1), "a storage in it is described in another way"),
        (one(shape=(10**15,), strides=(0,)), "w: the tensor does not lie within its storage of 6"),
        (one(shape=(3, 3), strides=(3, 1)), "w: the tensor does not lie within"),
        (one(shape=(0,), strides=(1,)), "w: the tensor does not lie within"),
        (one(offset=1), "w: the tensor does not lie within"),
        (one(offset=-1), "w: shape and strides are no numbers"),
        (one(strides=(-3, 1)), "w: shape and strides are no numbers"),
        (one(shape=(6,)), "w: 1 dimensions and 2 strides"),
        (one(shape=(1,) * 99, strides=(1,) * 99), "w: 99 dimensions"),
        (whole(NEW_DICT, ["1"], raw(SIX)), "the list of its storages"),
    ],
)
def test_what_is_no_file_of_tensors_is_one_clear_error(read, content, what):
    with pytest.raises(DataError, match=what) as refused:
        read(content)
    assert refused.value.where.endswith("some.pth")
    assert "_use_new_zipfile_serialization=False" in refused.value.mend


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(UsageError, match="no such file of weights"):
        torch_file.read(tmp_path / "gone.pth")


class Hostile:
    """What a pickle can do to whoever unpickles it."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("place", ["state", "machine", "in a tensor"])
def test_a_pickle_that_would_run_code_runs_none(read, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    hostile = pickle.dumps(Hostile(), protocol=2)
    bare = hostile[2:-1]
    content = {
        "state": whole(bare, [], b""),
        "machine": whole(b"}", [], b"", about=hostile),
        "in a tensor": whole(b"}" + text("w") + bare + b"s", [], b""),
    }[place]
    with pytest.raises(DataError, match=r"asks for '(posix|nt)\.mkdir'; only plain tensors are read"):
        read(content)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (b"ctorch\nBFloat16Storage\n", "asks for 'torch.BFloat16Storage'"),
        (b"ctorch.nn.modules.linear\nLinear\n", "asks for 'torch.nn.modules.linear.Linear'"),
        (torch_files.DICT + MARK + b"}tR", "a tensor in it is described in another way"),
        (torch_files.DICT + b")\x81", "the instruction NEWOBJ"),
        (b"(ios\nsystem\n", "the instruction INST"),
        (b"\x82\x01", "the instruction EXT1"),
        (b"S'text'\n", "the instruction STRING"),
        (b"\x8e" + (10**15).to_bytes(8, "little"), "not readable as a state dict"),
        (b"h\x05", "makes no sense"),
        (b"0", "the instruction POP"),
        (b"t", "makes no sense"),
        (b"Na", "makes no sense"),
        (b"NNNs", "makes no sense"),
        (b"N", "no dictionary of tensors"),
        (b"", "makes no sense"),
    ],
)
def test_a_pickle_of_anything_else_is_refused(read, state, what):
    with pytest.raises(DataError, match=what):
        read(whole(state, [], b""))


def test_a_pickle_cannot_take_more_memory_than_its_file_is_long(read):
    far = b"Nr" + (2**32 - 1).to_bytes(4, "little")  # puts what lies on the stack in place 4,294,967,295
    deep = b")" + b"\x85" * 20_000  # a tuple in a tuple in ...
    tracemalloc.start()
    for content in (
        whole(far, [], b""),
        one(elements=10**15),
        one(shape=(10**15,), strides=(0,)),
        whole(deep, [], b""),
    ):
        with pytest.raises(DataError):
            read(content)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_file_cut_anywhere_is_one_clear_error(read):
    content = one()
    for length in range(len(content)):
        with pytest.raises(DataError):
            read(content[:length])


def lies_within(tensors: dict[str, np.ndarray], content: bytes) -> bool:
    return all(values.nbytes <= len(content) and values.copy().size for values in tensors.values())


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_a_file_with_any_byte_changed_is_one_clear_error_or_tensors_that_lie_in_it(read, bits):
    content = one()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= bits
        with contextlib.suppress(DataError):
            assert lies_within(read(changed), changed)


@given(place=st.integers(0, len(WHOLE)), removed=st.integers(0, 40), added=st.binary(max_size=40))
def test_a_file_with_any_bytes_replaced_is_one_clear_error_or_tensors_that_lie_in_it(
    tmp_path_factory, place, removed, added
):
    file = tmp_path_factory.getbasetemp() / "replaced.pth"
    file.write_bytes(WHOLE[:place] + added + WHOLE[place + removed :])
    with contextlib.suppress(DataError):
        assert lies_within(torch_file.read(file), file.read_bytes())
