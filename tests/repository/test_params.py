"""The params follow a newer program: new keys come in, old ones go, and no value or comment of the user's changes."""

from pathlib import Path

from pipeline import config, sections
from pipeline.repository import params, template

TEMPLATE = """# One section per stage.

roots:
  library:
    library: data/demo/library

curate:
  min_images: 40  # lower cutoff
  max_images: 1000  # upper cutoff
  max_per_group: 3  # kept

gate:
  tolerance: 0.02  # allowed
"""


def test_what_is_up_to_date_stays_byte_for_byte():
    assert params.merge(TEMPLATE, TEMPLATE) == params.Merged(TEMPLATE, [], [])


def test_a_new_key_gets_its_default_and_its_comment_behind_the_key_that_it_follows():
    old = TEMPLATE.replace("  max_images: 1000  # upper cutoff\n", "")
    made = params.merge(old, TEMPLATE)
    assert (made.text, made.added, made.removed) == (TEMPLATE, ["curate.max_images"], [])


def test_a_new_first_and_a_new_last_key_find_their_places():
    old = TEMPLATE.replace("  min_images: 40  # lower cutoff\n", "").replace("  max_per_group: 3  # kept\n", "")
    made = params.merge(old, TEMPLATE)
    assert sorted(made.added) == ["curate.max_per_group", "curate.min_images"]
    assert made.text.index("max_images") < made.text.index("max_per_group") < made.text.index("gate:")


def test_a_new_section_comes_whole():
    old = TEMPLATE.partition("curate:")[0] + "gate:\n" + TEMPLATE.partition("gate:\n")[2]
    made = params.merge(old, TEMPLATE)
    assert (made.text, made.added) == (TEMPLATE, ["curate"])


def test_what_the_program_no_longer_knows_goes_by_name():
    old = TEMPLATE.replace("  tolerance", "  old_key: 3\n  tolerance") + "\nold:\n  key: 1\n"
    made = params.merge(old, TEMPLATE)
    assert sorted(made.removed) == ["gate.old_key", "old"]
    assert made.text.rstrip("\n") == TEMPLATE.rstrip("\n")


def test_the_user_s_values_comments_and_roots_stay():
    mine = TEMPLATE.replace("min_images: 40  # lower cutoff", "min_images: 12  # ours, see the wiki")
    mine = mine.replace("    library: data/demo/library", "    zoo: /mnt/zoo\n    farm: /mnt/farm")
    made = params.merge(mine.replace("  max_per_group: 3  # kept\n", ""), TEMPLATE)
    assert made.text == mine


def test_the_params_of_today_survive_the_loss_of_any_one_key(tmp_path: Path):
    whole = template.read(template.PARAMS)
    lines = whole.splitlines(keepends=True)
    keys = [number for number, line in enumerate(lines) if params.KEY.match(line)]
    flat = [n for n in keys if n + 1 == len(lines) or not lines[n + 1].startswith("   ")]
    merged = [params.merge("".join(lines[:number] + lines[number + 1 :]), whole) for number in flat]
    assert all(made.added for made in merged)
    for made in merged[::7]:
        (tmp_path / "params.yaml").write_text(made.text)
        assert config.load(sections.Curate, tmp_path / "params.yaml") == config.load(
            sections.Curate, template.folder() / template.PARAMS
        )
        assert config.parse(made.text, "made") == config.parse(whole, "whole")
