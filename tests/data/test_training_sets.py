"""The table of training sets: whole, and honest about terms."""

from pathlib import Path

import pytest

from pullmatte.data.training_sets import TRAINING_SETS, find_training_set, terms_of
from pullmatte.errors import DatasetError

DOCS = Path(__file__).resolve().parents[2] / "docs/datasets.md"
PAPERS = """
composition-1k distinctions-646 am2k uhrsd refmatte coco-matte p3m-10k transparent-460 i-him50k
dis5k duts mose youtube-vis videomatting108 videomatte240k
"""


@pytest.mark.parametrize("name", PAPERS.split())
def test_every_set_of_the_papers_is_known(name):
    known = find_training_set(name)
    assert known.used_by
    assert known.terms.licence


def test_sets_of_sdmatte_count_as_its_config_does():
    # 431 and 596 foregrounds three times; AM-2K's with the released multiplier.
    counted = {n: s.repeats for n, s in TRAINING_SETS.items() if "sdmatte" in s.used_by}
    assert counted["composition-1k"] == counted["distinctions-646"] == 3
    assert counted["am2k-foregrounds"] == 4


def test_unknown_set_lists_the_known_ones():
    with pytest.raises(DatasetError, match=r"Unknown training set 'dim'. Known: composition-1k"):
        find_training_set("dim")


def test_terms_name_the_set_that_bars_commercial_use():
    said = terms_of("am2k", "mose")
    assert "AM-2K: MIT" in said
    assert said.endswith("weights for research only, because of MOSE")
    assert terms_of("am2k").endswith("nothing here bars commercial use of the weights")


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_docs_say_what_the_table_says(name):
    known = TRAINING_SETS[name]
    line = next(x for x in DOCS.read_text(encoding="utf-8").split("\n") if f"| `{name}` |" in x)
    pairs = "<br>".join(f"`{images}` + `{alphas}`" for images, alphas in known.forms[0])
    sells = "no" if known.terms.research_only else "yes"
    parts = (known.title, known.content, pairs, known.terms.licence, sells)
    assert line == f"| `{name}` | {' | '.join(parts)} | {', '.join(known.used_by)} |"
