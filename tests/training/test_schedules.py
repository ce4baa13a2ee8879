import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.schedules import share


def at(progress: float, *, warmup: float = 0.0, cosine: float | None = None) -> float:
    return share(progress, step=0.1, warmup_epochs=warmup, cosine_epochs=cosine)


def test_the_rate_rises_from_the_first_step_to_the_end_of_the_warm_up():
    assert [at(progress, warmup=0.5) for progress in (0, 0.1, 0.2, 0.3, 0.4)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert at(0.5, warmup=0.5) == at(7, warmup=0.5) == 1


def test_the_cosine_falls_from_the_whole_over_the_half_to_nothing():
    assert [at(epoch, cosine=10) for epoch in (0, 5, 10, 11)] == pytest.approx([1, 0.5, 0, 0])


def test_the_cosine_begins_at_the_end_of_the_warm_up():
    assert [at(epoch, warmup=2, cosine=10) for epoch in (2, 6, 10)] == pytest.approx([1, 0.5, 0])


@given(st.floats(0, 200), st.floats(0, 5), st.none() | st.floats(1, 150))
def test_the_rate_is_a_share_of_the_full_one(progress, warmup, cosine):
    assert 0 <= at(progress, warmup=warmup, cosine=cosine) <= 1
