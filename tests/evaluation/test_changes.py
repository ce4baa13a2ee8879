"""The note of a run: what changed since the parent, and whether it got better."""

from pipeline.evaluation import changes

BEFORE = {
    "images_train": "900",
    "images_val": "100",
    "images_test": "100",
    "learning_rate": "0.01",
    "flip": "True",
    "gpus": [],
}
AFTER = {"parent": "round-1-abc", "images_train": 1050, "images_val": 100, "images_test": 110}


def test_a_note_names_new_classes_grown_sets_and_changed_settings():
    text = changes.note(
        BEFORE,
        AFTER | {"learning_rate": 0.003, "flip": True, "zoom": 0.1, "gpus": ()},
        classes_before=["cat", "dog", "yak"],
        classes=["cat", "dog", "bear", "wolf"],
    )
    assert text.splitlines() == [
        "**Since round-1-abc**",
        "",
        "* classes: 3 → 4; new: bear, wolf; gone: yak",
        "* images: train 900 → 1,050, val 100 → 100, test 100 → 110",
        "* `learning_rate`: 0.01 → 0.003",
    ]


def test_a_note_says_that_nothing_but_the_images_changed():
    text = changes.note(BEFORE, AFTER | {"flip": True}, classes_before=["cat"], classes=["cat"])
    assert "* the same 1 classes" in text
    assert text.endswith("* the same settings")


def test_a_first_round_and_one_whose_parent_nobody_knows_have_a_note_too():
    assert "* the first round: 2 classes" in changes.note({}, AFTER, classes_before=[], classes=["cat", "dog"])
    unknown = changes.note({}, AFTER, classes_before=["cat"], classes=["cat", "dog"])
    assert unknown.endswith("* images: train 1,050, val 100, test 110")


def test_many_classes_are_counted():
    text = changes.note({}, AFTER, classes_before=["a"], classes=["a", *(f"{number:02d}" for number in range(20))])
    assert "10, 11 and 8 more" in text


def test_results_stand_beside_those_of_the_parent():
    table = changes.results(
        {"benchmark_field_accuracy": 0.5, "test_accuracy": 0.81, "epochs": 9.0},
        {"test_images": 1500, "benchmark_field_images": 40},
        {"test_accuracy": 0.79},
    )
    assert table.splitlines()[2:] == [
        "| test_accuracy | 1,500 | 79.0% | 81.0% | +2.0% |",
        "| benchmark_field_accuracy | 40 |  | 50.0% |  |",
    ]
