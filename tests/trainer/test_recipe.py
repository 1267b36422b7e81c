"""Recipes: what is read, and what is refused with a useful line."""

from pathlib import Path

import pytest

from trainer import recipe

SHIPPED = Path(recipe.__file__).parent / "recipes"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_read(path: Path) -> None:
    read = recipe.read(path)
    assert read.text == path.read_text()
    assert len(read.digest) == 64


def test_values_reach_their_sections() -> None:
    read = recipe.parse('name = "x"\n[network]\nwidths = [8]\nblocks = [1]\n[identify]\nrate = 1\n[export]\nflip = false\n')
    assert read.network.widths == (8,)
    assert read.identify.rate == 1.0
    assert read.export.flip is False
    assert read.triplet == recipe.Triplet()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[identify]\nepoch = 3\n", "identify.epoch", "identify.epochs"),
        ("nmae = 'x'\n", "nmae", "name"),
        ("[network]\nsize = 'big'\n", "network.size", "int"),
        ("[network]\nsize = true\n", "network.size", "int"),
        ("network = 3\n", "network", "[network]"),
        ("[identify]\nmargin = 1.0\n", "identify.margin", "1"),
        ("[augment]\nflip = 1.5\n", "augment.flip", "0 to 1"),
        ("[triplet]\nimages = 1\n", "triplet.images", "two"),
        ("[network]\ncompute = 'int8'\n", "int8", "float32"),
        ("name = '../x'\n", "../x", "letters"),
        ("name = \n", "not TOML", "faces.toml"),
    ],
)
def test_bad_recipes_get_one_line_and_a_hint(text: str, message: str, hint: str) -> None:
    with pytest.raises(recipe.RecipeError) as caught:
        recipe.parse(text)
    assert message in caught.value.message and hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(recipe.RecipeError, match=r"none\.toml"):
        recipe.read(tmp_path / "none.toml")
