import pandas as pd
from builders import sha

from pipeline.files import write_table
from pipeline.review.recipes import gathering

LIMITS = {"min_side": 24, "min_brightness": 0.15, "min_contrast": 0.02, "min_sharpness": 4.0, "max_aspect_ratio": 5}


def test_pool_pictures_that_curation_would_not_take_are_named_with_what_was_measured(tmp_path):
    fair = {"width": 300, "height": 200, "brightness": 0.9, "contrast": 0.2, "sharpness": 900.0}
    rows = [fair, fair | {"contrast": 0.001}, fair | {"height": 10}, fair | {"contrast": 0.02}]
    images = [f"pool/{name}.jpg" for name in "abcd"]
    write_table(pd.DataFrame(rows).assign(image=images, sha256=[sha(i) for i in images]), tmp_path / "pool.parquet")
    assert gathering.poor(tmp_path, LIMITS).to_dict() == {
        "pool/b.jpg": "near-blank (contrast 0.001)",
        "pool/c.jpg": "too small (300 x 10 pixels)",
    }
