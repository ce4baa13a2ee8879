import keras
import numpy as np
import pytest

from pipeline.models.head import HEAD
from pipeline.training.optimizers import averages, build_optimizer
from tests.networks import coloured, tiny

PLAIN = {
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, rho=0.9, epsilon=1.0, weight_decay=0.1),
}


def stepped(optimizer: keras.optimizers.Optimizer, *, steps: int = 3, weights_of: str = "") -> list[np.ndarray]:
    """What `steps` of training move the weights by: of the head, or of all layers whose name is not the head's."""
    model = tiny()
    chosen = [layer for layer in model.layers if not weights_of or (layer.name == HEAD) == (weights_of == HEAD)]
    before = [w.numpy() for layer in chosen for w in layer.trainable_weights]
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    for seed in range(steps):
        model.train_on_batch(*coloured(6, seed=seed))
    after = [w.numpy() for layer in chosen for w in layer.trainable_weights]
    return [new - old for new, old in zip(after, before, strict=True)]


@pytest.mark.parametrize("name", PLAIN)
def test_with_one_rate_for_all_layers_it_is_the_optimiser_of_keras(name):
    ours = stepped(build_optimizer(name, learning_rate=0.01, weight_decay=0.1))
    for mine, theirs in zip(ours, stepped(PLAIN[name]()), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", PLAIN)
def test_the_body_moves_by_its_share_of_the_head_s_rate(name):
    def body(rate: float, share: float) -> list[np.ndarray]:
        optimizer = build_optimizer(name, learning_rate=rate, weight_decay=0.1, body_rate=share)
        return stepped(optimizer, steps=1, weights_of="body")

    for slow, same in zip(body(0.01, 0.1), body(0.001, 1.0), strict=True):
        np.testing.assert_allclose(slow, same, rtol=1e-3, atol=1e-7)


def test_the_head_moves_at_the_full_rate_whatever_the_body_s():
    def head(share: float) -> list[np.ndarray]:
        optimizer = build_optimizer("adamw", learning_rate=0.01, weight_decay=0.1, body_rate=share)
        return stepped(optimizer, steps=1, weights_of=HEAD)

    assert all(map(np.array_equal, head(0.1), head(1.0)))


def test_the_average_follows_the_weights_by_its_momentum():
    model = tiny()
    model.compile(
        build_optimizer("adamw", learning_rate=0.1, weight_decay=0.0, ema=0.75),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    path = []
    for seed in range(3):
        model.train_on_batch(*coloured(6, seed=seed))
        path.append(model.get_layer(HEAD).kernel.numpy())
    expected = 0.75 * (0.75 * path[0] + 0.25 * path[1]) + 0.25 * path[2]
    places = [variable.path for variable in model.trainable_variables]
    np.testing.assert_allclose(averages(model)[places.index(f"{HEAD}/kernel")].numpy(), expected, rtol=1e-5)


def test_without_momentum_there_is_no_average():
    model = tiny()
    model.compile(build_optimizer("adamw", learning_rate=0.1, weight_decay=0.0), "mse")
    assert averages(model) == []
