"""The command lines about networks and their training, and of those that look ahead."""

import pytest

from pipeline import cli
from pipeline.cli import round, start
from pipeline.errors import UsageError


def parsed(line: str) -> dict:
    return vars(cli.program().parse(line.split()))


@pytest.mark.parametrize(
    "line",
    [
        "models compare squeezenet base+frozen --minutes 2 --seed 7 --json",
        "models --minutes 2 --json --seed 7 compare squeezenet base+frozen",
        "models --json compare --seed 7 squeezenet base+frozen --minutes 2",
    ],
)
def test_options_of_a_comparison_stand_before_or_after_its_networks(line):
    args = parsed(line)
    assert (args["run"], args["contenders"]) == (start.models_compare, ["squeezenet", "base+frozen"])
    assert (args["minutes"], args["seed"], args["json"]) == (2.0, 7, True)


def test_a_comparison_has_five_minutes_per_network_by_default():
    assert (parsed("models compare base")["minutes"], parsed("models compare base")["seed"]) == (5.0, 0)


@pytest.mark.parametrize("line", ["models squeezenet", "models show squeezenet"])
def test_a_networks_name_alone_shows_it(line):
    assert (parsed(line)["run"], parsed(line)["names"]) == (start.models_show, ["squeezenet"])


def test_two_networks_without_a_word_are_to_be_compared():
    args = cli.program().parse(["models", "squeezenet", "vgg16"])
    with pytest.raises(UsageError, match="one network is shown in detail") as refused:
        start.models_show(None, args)
    assert refused.value.mend == "wallaby models compare squeezenet vgg16"


@pytest.mark.parametrize(
    "line",
    [
        "throwaway --min-images 35 --name low",
        "throwaway run --min-images 35 --name low",
        "throwaway --min-images 35 run --name low",
    ],
)
def test_a_throw_away_run_needs_no_word(line):
    args = parsed(line)
    assert (args["run"], args["min_images"], args["name"]) == (round.throwaway_run, 35, "low")


@pytest.mark.parametrize(
    ("line", "run"),
    [
        ("throwaway report low", round.throwaway_report),
        ("throwaway --name low report", round.throwaway_report),
        ("throwaway remove --name low", round.throwaway_remove),
    ],
)
def test_a_throw_away_run_is_named_before_or_after_the_action(line, run):
    args = parsed(line)
    assert (args["run"], args["which"] or args["name"]) == (run, "low")


def test_a_mistyped_action_offers_the_nearest():
    with pytest.raises(UsageError, match="unknown action 'raport'") as refused:
        parsed("throwaway raport")
    assert refused.value.mend == "did you mean 'report'?"
