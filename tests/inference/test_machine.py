import pytest

from pipeline.inference import machine

CPU = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu {}\n\nprocessor\t: 1\nmodel name\t: B\nflags\t\t: fpu\n"


@pytest.fixture
def cpu(tmp_path, monkeypatch):
    def have(flags: str) -> None:
        (tmp_path / "cpuinfo").write_text(CPU.format(flags))
        monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")

    return have


def test_a_machine_tells_its_cpu_and_the_instructions_that_matter(cpu):
    cpu("sse2 avx2 avx512f avx512_bf16")
    facts = machine.describe()
    assert facts["cpu"] == "A CPU"
    assert facts["instructions"] == ["AVX2", "AVX-512", "AVX-512 BF16"]


@pytest.mark.parametrize(("flags", "adds_up"), [("avx2", False), ("avx_vnni", True), ("asimddp", True), ("", False)])
def test_only_some_cpus_add_up_8_bit_products_without_overflow(cpu, flags, adds_up):
    cpu(flags)
    assert machine.adds_up_int8() == adds_up


def test_a_system_that_tells_nothing_of_its_cpu_still_has_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "none")
    assert machine.describe()["cpu"]
    assert machine.describe()["instructions"] == []


def test_keras_is_asked_for_a_gpu_only_where_there_may_be_one(monkeypatch):
    monkeypatch.setattr(machine, "GPUS", ("no-such-device",))
    assert not machine.has_gpu()
