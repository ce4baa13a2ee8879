from pipeline.evaluation import ending


def test_a_best_epoch_that_is_the_last_one_is_no_plateau():
    assert ending.sentence({"best_epoch": 12, "epochs": 32}) == "plateau at epoch 12 of 32"
    text = ending.sentence({"best_epoch": 60, "epochs": 60})
    assert text.startswith("no plateau in 60 epochs")
    assert "train.max_epochs" in text
