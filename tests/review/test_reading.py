import pandas as pd

from pipeline.files import write_csv, write_table
from pipeline.review.recipes import reading
from tests.library.builders import sha
from tests.review.made_up_pools import board, predictions, store

LIMITS = {"min_side": 24, "min_brightness": 0.15, "min_contrast": 0.02, "min_sharpness": 4.0, "max_aspect_ratio": 5}


def test_pool_pictures_that_curation_would_not_take_are_named_with_what_was_measured(tmp_path):
    fair = {"width": 300, "height": 200, "brightness": 0.9, "contrast": 0.2, "sharpness": 900.0}
    rows = [fair, fair | {"contrast": 0.001}, fair | {"height": 10}, fair | {"contrast": 0.02}]
    images = [f"pool/{name}.jpg" for name in "abcd"]
    write_table(pd.DataFrame(rows).assign(image=images, sha256=[sha(i) for i in images]), tmp_path / "pool.parquet")
    assert reading.poor(tmp_path, LIMITS).to_dict() == {
        "pool/b.jpg": "near-blank (contrast 0.001)",
        "pool/c.jpg": "too small (300 x 10 pixels)",
    }


def test_what_people_called_bad_is_offered_by_no_recipe_but_known_to_be_bad(tmp_path):
    store(predictions(a=("dog", 0.9), b=("dog", 0.9), c=("dog", 0.9), d=("dog", 0.9)), tmp_path)
    excluded = pd.DataFrame({"image": ["pool/b.jpg", "pool/c.jpg"], "reason": ["bad", "unknown"]})
    write_table(excluded.assign(sha256=[sha("b"), sha("c")]), tmp_path / "excluded.parquet")
    write_table(pd.DataFrame({"sha256": [sha("a")]}), tmp_path / "images.parquet")
    write_csv(board(dog=15), tmp_path / "board.csv")
    audited = {"asked": [False], "set": ["val"], "label": ["dog"], "predicted": ["dog"]}
    write_table(pd.DataFrame(audited), tmp_path / "audit.parquet")
    found = reading.gather(*[tmp_path] * 6, cache_folder=tmp_path, limits=LIMITS, bad=pd.Series([sha("d")]))
    assert set(found.bad) == {sha("b"), sha("d")}
    assert found.rows["image"].tolist() == ["pool/c.jpg", "pool/d.jpg"]
