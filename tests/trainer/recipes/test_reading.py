"""Recipes: what is read, and what is refused with a useful line."""

from pathlib import Path

import pytest

from daemon.core.settings import shown
from trainer.__main__ import _recipes
from trainer.learn import mining, stages
from trainer.models import networks
from trainer.recipes import reading
from trainer.recipes.stages import STAGES, Identify, Triplets
from trainer.recipes.values import Data, Recipe, RecipeError

EVERY = tuple(reading.keys())
KEYS = {key.path: key for key in EVERY}
SHIPPED = sorted(reading.SHIPPED.glob("*.toml"))
LEARNING = [path for path in SHIPPED if path.stem not in ("faces-small", "dlib")]


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


def test_the_digest_of_a_recipe_is_the_same_from_release_to_release() -> None:
    """Runs resume by it: with another digest a run that was begun before could not be continued."""
    assert reading.read(reading.find("faces")).digest == "b8064e6ebbdfd25167a7468af3743bbfb811c5ba387e95e92c2f05d54cb183c6"
    every_kind = "".join(STAGE.format(kind) for kind in ("identify", "triplets", "pairs", "distil", "same"))
    assert reading.parse(every_kind).digest == "e9307ec5032a0c2febf3133c74209cb79c315f05490d8e1c7d8c2a3726bbb22b"


def test_every_key_has_a_description_and_a_type() -> None:
    assert len(KEYS) > 90 and {f"stages.{kind}.epochs" for kind in STAGES} < set(KEYS)
    assert all(len(key.description) > 5 and key.description.endswith(".") and key.type for key in KEYS.values())
    assert KEYS["stages"].type == "list of tables"
    widths = KEYS["network.widths"]
    assert (widths.type, widths.range, widths.default) == ("list of whole numbers", "not empty, each above 0", (64, 128, 160))


def test_the_kinds_of_network_and_of_mining_are_those_that_exist() -> None:
    assert KEYS["network.kind"].range == f"one of {', '.join(map(shown, networks.KINDS))}"
    assert KEYS["stages.triplets.mining"].range == f"one of {', '.join(map(shown, [*mining.MININGS, 'random', 'article']))}"


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


def test_a_recipe_that_is_there_to_be_extended_has_no_stages_to_change() -> None:
    with pytest.raises(RecipeError, match="this recipe has no stages") as told:
        reading.read(reading.find("faces-small"), ["stages.0.steps=30"])
    assert "--help" in told.value.hint
    assert "faces-small" not in _recipes() and {"faces", "faces-few", "mnist-elastic"} <= set(_recipes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed", "'seed' is not of the form KEY=VALUE"),
        ("stages.7.rate=1", "stages.7.rate does not exist"),
        ("stages=3", "stages is not a list of tables"),
        ("stages=[3]", "stages is not a list of tables"),
        ("netwrok.size=3", "unknown key `netwrok`"),
        ("stages.0.0=1", "unknown key `stages.0.0`"),
        ("name.x=1", "name.x is not a key"),
    ],
)
def test_bad_changes_are_refused(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        reading.read(reading.find("faces-triplet"), [change])


STAGE = "[[stages]]\nkind = '{}'\n"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (STAGE.format("identify") + "epoch = 3\n", "unknown key `stages.0.epoch`", "did you mean `stages.0.epochs`?"),
        ("nmae = 'x'\n", "unknown key `nmae`", "did you mean `name`?"),
        ("[network]\nsize = 'big'\n", 'network.size = "big" is not a whole number (above 0)', "Default: 64."),
        ("[network]\nsize = true\n", "network.size = true is not a whole number (above 0)", "Default: 64."),
        ("[network]\nsize = 64.0\n", "network.size = 64.0 is not a whole number (above 0)", "Default: 64."),
        ("[network]\nsize = 0\n", "network.size = 0 is out of range (above 0)", "Default: 64."),
        ("network = 3\n", "network = 3 is not a table", "write [network] and its keys below"),
        ("validations = 0\n", "validations = 0 is out of range (above 0)", "Default: 20."),
        (STAGE.format("identify") + "margin = 1.0\n", "stages.0.margin = 1.0 is out of range (at least 0 and below 1)", "Default: 0.3."),
        (STAGE.format("triplets") + "margin = -1\n", "stages.0.margin = -1 is out of range (at least 0)", "Default: 0.2."),
        (STAGE.format("pairs") + "ema = 1\n", "stages.0.ema = 1 is out of range (at least 0 and below 1)", "Default: 0.999."),
        (STAGE.format("pairs") + "rate = 0\n", "stages.0.rate = 0 is out of range (above 0)", "Default: 0.001."),
        (STAGE.format("same") + "keep = 'never'\n", 'stages.0.keep = "never" is not one of "better", "surely"', 'Default: "always".'),
        (STAGE.format("indentify"), 'stages.0.kind = "indentify" is not a kind of stage', "known kinds: identify, triplets"),
        ("[[stages]]\nkind = [1]\n", "stages.0.kind = [1] is not a kind of stage", "known kinds: identify, triplets"),
        ("[[stages]]\nrate = 1\n", "stages.0.kind is missing", "known kinds: identify, triplets"),
        ("[augment]\nflip = 1.5\n", "augment.flip = 1.5 is not a probability (0 to 1)", "Default: 0.5."),
        (STAGE.format("triplets") + "images = 1\n", "stages.0.images = 1 is out of range (above 1)", "two people and two images"),
        (STAGE.format("distil") + "people = 1\n", "stages.0.people = 1 is out of range (above 1)", "two people and two images"),
        (STAGE.format("triplets") + "mining = 'easy'\n", 'stages.0.mining = "easy" is not one of "batch-hard", ', "`article`"),
        (
            STAGE.format("triplets") + "mining = 'article'\ncandidates = 20\n",
            "stages.0: hard = 16 and random = 16 are more than candidates = 20",
            "raise candidates",
        ),
        (STAGE.format("triplets") + "steps = -1\n", "stages.0.steps = -1 is out of range (at least 0)", "Default: 0."),
        (STAGE.format("same") + STAGE.format("pairs"), "stages.0 is of kind same and not the last stage", "last"),
        ("[network]\ncompute = 'int8'\n", 'network.compute = "int8" is not one of "float32", "mixed_bfloat16"', "float32"),
        (
            "[network]\nkind = 'vit'\n",
            'network.kind = "vit" is not one of "residual", "mobile", "dlib", "plain", "article", "applications"',
            "drawings",
        ),
        ("[network]\nchannels = 1\n", 'network.channels = 1 does not suit data.kind = "people"', "colour"),
        ("[network]\nwidths = []\n", "network.widths = [] is empty", "Default: [64, 128, 160]."),
        ("[network]\nblocks = [1, 0]\n", "network.blocks = [1, 0] is not a list of whole numbers (not empty, each above 0)", "Default: [2"),
        ("[data]\nkind = 'cats'\n", 'data.kind = "cats" is not one of "people", "digits", "characters"', "`digits`"),
        ("[data]\nshare = 0\n", "data.share = 0 is out of range (above 0 and at most 1)", "1: all people"),
        ("[data]\nshare = 1.5\n", "data.share = 1.5 is out of range (above 0 and at most 1)", "1: all people"),
        ("[export]\nzoom = 0\n", "export.zoom = 0 is out of range (0.5 to 2)", "1.08"),
        ("extends = 'nothing'\n", "the recipe nothing cannot be read", "faces-small"),
        ("name = '../x'\n", 'name = "../x" cannot be used', "letters"),
        ("name = \n", "the recipe is not valid TOML", "faces.toml"),
    ],
)
def test_bad_recipes_get_one_line_and_a_hint(text: str, message: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        reading.parse(text)
    assert caught.value.message.startswith(message) and hint in caught.value.hint
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


@pytest.mark.parametrize(("key", "value"), [("beside", "true"), ("held_alphabets", '["Greek"]')])
def test_a_key_of_other_data_is_refused(key: str, value: str) -> None:
    with pytest.raises(RecipeError, match=f"data.{key} is for"):
        reading.parse(f"[data]\n{key} = {value}\n")
