import pandas as pd
import pytest

from pipeline.serving.reports import capabilities
from pipeline.serving.reports.capabilities import Doubt


@pytest.mark.parametrize("doubt", Doubt)
def test_every_doubt_but_that_nobody_tested_it_makes_a_class_weak(doubt):
    table = pd.DataFrame({"says": ["", doubt, f"{doubt}, untested"]}, dtype="str")
    assert capabilities.is_weak(table).tolist() == [False, *2 * [doubt is not Doubt.UNTESTED]]


def test_of_no_classes_none_is_weak():
    assert capabilities.is_weak(pd.DataFrame(columns=capabilities.COLUMNS)).tolist() == []
