"""The library's mix of classes stands beside that of the pool and of what is served."""

import numpy as np

from pipeline.evaluation import class_mix


def test_shares_stand_beside_each_other_and_a_class_that_one_of_them_lacks_has_none():
    table = class_mix.beside({"cat": 30, "dog": 70}, pool={"cat": 10, "owl": 30}, served={}).set_index("label")
    assert table.loc["dog", "library_share"] == 0.7
    assert table.loc["cat", "pool_share"] == 0.25
    assert table.loc["owl", ["library", "pool"]].tolist() == [0, 30]
    assert np.isnan(table["served_share"]).all()
    assert table.index[0] == "owl"


def test_a_class_is_unlike_where_its_share_is_twice_or_half_and_it_is_no_rarity():
    library = {"cat": 400, "dog": 400, "owl": 196, "emu": 4}
    pool = {"cat": 850, "dog": 390, "owl": 748, "emu": 12}
    table = class_mix.beside(library, pool=pool, served={})
    assert class_mix.unlike(table, class_mix.POOL)["label"].tolist() == ["dog"]
    assert class_mix.unlike(table, class_mix.SERVED).empty
