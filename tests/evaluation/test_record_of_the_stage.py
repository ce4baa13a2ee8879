"""The stage queue ends a round with its record: the same from the same products, byte for byte."""

from pathlib import Path

from pipeline.evaluation import round_record
from pipeline.stages import queue
from pipeline.workspace import Workspace
from tests import golden


def test_the_stage_writes_a_record_and_writes_it_again_byte_for_byte():
    with golden.workspace():
        golden.queue()
        file = Path("data/round.json")
        first, made = file.read_bytes(), round_record.read(file, named=False)
        queue.main(Workspace(Path()))
        assert file.read_bytes() == first
    assert (made.round, made.model_digest, made.run_id) == (2, golden.MODEL, "run")
    assert made.headline["test_accuracy"] == 0.8
    assert made.parameters["images"] == 42
    assert made.per_class["test"].right == [3, 3, None]
    assert made.curve["val_loss"] == [1.5, 1.75]
    assert made.gate.verdict == "pass"
    assert made.queue["low-count"]["images"] == 12
    assert made.recipe["max_epochs"] == 1  # an older model, without its recipe: what the params say
