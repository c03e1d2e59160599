"README is the first page, its tables are those of the measurements, and what is said of them is so. `python docs/readme.py` brings both up to date."
import json
import re
import sys
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / "docs"))
import readme  # noqa: E402


def result(name): return json.loads((root / "results" / name).read_text(encoding="utf-8"))


def test_first_page_and_readme_are_one_text():
    assert readme.notebook() == readme.index.read_text(encoding="utf-8"), "the first page's tables aren't those of results; run python docs/readme.py"
    assert readme.page() == readme.readme.read_text(encoding="utf-8"), "README.md isn't the first page; run python docs/readme.py"


def test_every_measured_table_is_there():
    assert {m[1] for m in readme.mark.findall(readme.page())} == set(readme.DRAWN)


def test_first_page_shows_no_code():
    assert {c["cell_type"] for c in json.loads(readme.index.read_text(encoding="utf-8"))["cells"]} == {"markdown"}


def test_command_that_ci_greps():
    "`.ci/run` takes README's test command: from its mark to the end of the block, the line that begins with pip"
    block = re.search(r"^<!-- test -->$(.*?)^```$", readme.page(), re.S | re.M)[1]
    assert re.findall(r"^pip .*", block, re.M) == ['pip install -c constraints.txt -e ".[dev]" && python tests/run.py']


def test_nbdev_leaves_readme_alone():
    "nbdev writes README.md from readme_nb whenever Quarto is there; a notebook that doesn't exist stops it"
    from configparser import ConfigParser
    ini = ConfigParser(delimiters=["="], interpolation=None)
    ini.read(root / "settings.ini", encoding="utf-8")
    assert not (root / "nbs" / ini["DEFAULT"]["readme_nb"]).exists() and not (root / "nbs" / "contributing.ipynb").exists()


@pytest.mark.parametrize("text, seen", [
    ("[a](tutorials/10_ten_minutes.ipynb)", "[a](nbs/tutorials/10_ten_minutes.ipynb)"),
    ("![a](../results/x.png)", "![a](results/x.png)"),
    ("[a](https://arxiv.org) [b](#here)", "[a](https://arxiv.org) [b](#here)"),
])
def test_links(text, seen): assert readme.at_the_top(text) == seen


def test_quickstart_beats_floors_and_general():
    m = result("quickstart/quickstart.json")
    domains = [rm for rm in m["rms"] if rm in m["rms"][rm] and rm != "general"]
    assert len(domains) >= 2
    for d in domains:
        others = [m["rms"]["general"][d], m["floors"]["longer"][d], m["floors"]["bag_of_words"][d]]
        assert m["rms"][d][d]["accuracy"] > max(o["accuracy"] for o in others), d
    general, floors = m["rms"]["general"]["general"], m["floors"]
    assert general["accuracy"] > max(floors[f]["general"]["accuracy"] for f in floors), "the general model is above both floors"
    assert all(general["low"] < m["rms"][d]["general"]["accuracy"] < general["high"] for d in domains), "no cost that is seen"


def test_what_is_said_of_the_study():
    "Of the first page: the loss without a guard, what each guard gives back, and that it is not all"
    m = result("study/guards.json")
    ways = {row["strategy"]: row for row in m["rows"]}
    free, replayed, back = (ways[name] for name in ("joint 1.0", "joint replay 1.0", "joint replay 0.75"))
    changes = [way["change"]["difference"] for way in (free, replayed, back)]
    assert changes == sorted(changes) and all(way["change"]["high"] < 0 for way in (free, replayed, back)), "smaller with each guard, and not gone"
    domains = [way["domain"]["accuracy"] for way in (free, replayed, back)]
    assert max(domains) - min(domains) < .02 and min(domains) > free["general_model"]["domain"]["accuracy"] + .2, "at little cost for the readers"
    floors = m["floors"]["bag_of_words"]
    for d in ("business", "literature"): assert all(way["domains"][d]["low"] < floors[d] for way in (free, replayed, back)), "none is surely better than the bag of words"
    sets = result("study/all-general.json")["general_sets"]
    def over_all(of): return sum(of(s) * s["n"] for s in sets.values()) / sum(s["n"] for s in sets.values())
    assert abs(over_all(lambda s: s["bag_of_words"]) - over_all(lambda s: s["general_rm"]["accuracy"])) < .02, "in general the bag of words is as good"


def test_what_is_said_of_the_default():
    "Of the first page and the tutorial: with a quarter replayed and three quarters of the way less is lost than with a tenth, and no loss is shown"
    ways = {row["strategy"]: row for row in result("study/guards.json")["rows"]}
    default, whole, tenth = (ways[name] for name in ("joint quarter 1 0.75", "joint quarter 1 1.0", "joint replay 0.75"))
    assert default["off"] == [] and default["change"]["difference"] > tenth["change"]["difference"] and default["change"]["high"] > 0
    assert default["domain"]["low"] > default["general_model"]["domain"]["high"] + .2 and 0 < whole["domain"]["accuracy"] - default["domain"]["accuracy"] < .03
    assert default["change"]["difference"] > whole["change"]["difference"], "going back gives back"


def test_what_is_said_of_the_smaller_study():
    "Of the first page and the tutorial: with a quarter replayed and both guards no loss was seen, with one seed"
    m = result("study/summary.json")
    plain, general = m["details"]["plain"], m["details"]["general"]
    assert plain["own"]["low"] > 0 and general["own"]["low"] > 0, "the gain is larger"
    assert m["general"]["low"] < 0 < m["general"]["high"] and m["general"]["difference"] >= 0 and len(m["seeds"]) == 1, "no loss is seen"
    assert m["general"]["plain_minus_general"]["difference"] < 0 and plain["general"]["low"] > 0, "done plainly, it seems to cost some"
    assert m["changes"]["custom.sharing"] == "joint" and m["changes"]["custom.replay"] == .25 and 0 < m["changes"]["custom.blend"] < 1
    as_good = [d for d, x in m["domains"].items() if x["bag_of_words"] > x["accuracy"] - .01]
    assert sorted(as_good) == ["business", "literature"], "where the bag of words is as good"
