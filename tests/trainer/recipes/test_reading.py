"""Recipes: what is read, and what is refused with a useful line."""

from pathlib import Path

import pytest

from trainer.learn import stages
from trainer.models import networks
from trainer.recipes import reading
from trainer.recipes.values import Data, Identify, Recipe, RecipeError, Triplets

SHIPPED = sorted(reading.SHIPPED.glob("*.toml"))
LEARNING = [path for path in SHIPPED if path.stem not in ("faces-small", "omniglot")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_read_and_say_their_whole_text(path: Path) -> None:
    read = reading.read(path)
    assert reading.parse(read.text) == read
    assert len(read.digest) == 64
    assert read.name == path.stem


@pytest.mark.parametrize("path", LEARNING, ids=lambda path: path.stem)
def test_shipped_recipes_have_stages_and_a_network(path: Path) -> None:
    read = reading.read(path)
    assert read.stages and all(stages.rows_of(stage) >= 2 for stage in read.stages)
    assert networks.encoder(read.network).output.shape[-1] == read.network.embedding


def test_values_reach_their_sections() -> None:
    read = reading.parse(
        'name = "x"\n[network]\nwidths = [8]\nblocks = [1]\n[[stages]]\nkind = "identify"\nrate = 1\n[[stages]]\nkind = "triplets"\n'
        "soft = false\n[export]\nflip = false\n"
    )
    assert read.network.widths == (8,)
    assert read.stages == (Identify(rate=1.0), Triplets(soft=False))
    assert read.export.flip is False
    assert read.data == Data()


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "faces-small"\nname = "mine"\n[network]\nembedding = 64\n')
    mine, small = reading.read(tmp_path / "mine.toml"), reading.read(reading.find("faces-small"))
    assert mine.network.embedding == 64 and mine.network.widths == small.network.widths
    assert mine.augment == small.augment and mine.digest != small.digest


def test_comments_do_not_change_a_digest() -> None:
    assert reading.parse("# a\nseed = 1\n").digest == reading.parse("").digest


def test_single_keys_are_set() -> None:
    path = reading.find("faces-triplet")
    changes = ["stages.0.mining=hard", "network.embedding=64", "augment.flip=0", "network.widths=[8, 16]", "network.blocks=[1, 1]"]
    read = reading.read(path, changes)
    stage = read.stages[0]
    assert isinstance(stage, Triplets) and stage.mining == "hard"
    assert read.network.embedding == 64 and read.augment.flip == 0.0 and read.network.widths == (8, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed", "sets nothing"),
        ("stages.7.rate=1", "there is no"),
        ("stages=3", "list of tables"),
        ("netwrok.size=3", "netwrok"),
        ("stages.0.0=1", "stages.0.0"),
        ("name.x=1", "not a key"),
    ],
)
def test_bad_changes_are_refused(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        reading.read(reading.find("faces-triplet"), [change])


STAGE = "[[stages]]\nkind = '{}'\n"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (STAGE.format("identify") + "epoch = 3\n", "stages.0.epoch", "stages.0.epochs"),
        ("nmae = 'x'\n", "nmae", "name"),
        ("[network]\nsize = 'big'\n", "network.size", "int"),
        ("[network]\nsize = true\n", "network.size", "int"),
        ("network = 3\n", "network", "[network]"),
        (STAGE.format("identify") + "margin = 1.0\n", "stages.0.margin", "1"),
        (STAGE.format("indentify"), "stages.0.kind", "identify"),
        ("[augment]\nflip = 1.5\n", "augment.flip", "0 to 1"),
        (STAGE.format("triplets") + "images = 1\n", "stages.0.images", "two"),
        (STAGE.format("triplets") + "mining = 'easy'\n", "easy", "semi-hard"),
        (STAGE.format("triplets") + "mining = 'article'\ncandidates = 20\n", "candidates", "candidates"),
        (STAGE.format("triplets") + "steps = -1\n", "negative", "0 or more"),
        (STAGE.format("same") + STAGE.format("pairs"), "before the end", "last"),
        ("[network]\ncompute = 'int8'\n", "int8", "float32"),
        ("[network]\nchannels = 1\n", "channels", "colour"),
        ("[network]\nwidths = []\n", "widths", "positive"),
        ("[data]\nkind = 'cats'\n", "cats", "digits"),
        ("[data]\nshare = 0\n", "data.share", "1 for all"),
        ("[data]\nshare = 1.5\n", "data.share", "1 for all"),
        ("[export]\nzoom = 0\n", "export.zoom", "1.08"),
        ("extends = 'nothing'\n", "nothing", "faces-small"),
        ("name = '../x'\n", "../x", "letters"),
        ("name = \n", "not TOML", "faces.toml"),
    ],
)
def test_bad_recipes_get_one_line_and_a_hint(text: str, message: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        reading.parse(text)
    assert message in caught.value.message and hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml"):
        reading.read(tmp_path / "none.toml")


def test_a_circle_is_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'extends = "{two}"\n')
    two.write_text(f'extends = "{one}"\n')
    with pytest.raises(RecipeError, match="extends itself"):
        reading.read(one)


def test_the_default_recipe_is_written_out_in_full() -> None:
    text = Recipe(stages=(Identify(),)).text
    assert "[[stages]]" in text and 'kind = "identify"' in text and "label_smoothing = 0.0" in text
