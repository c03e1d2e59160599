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
    "Of the first page and the tutorial: the loss without a guard, what each guard gives back, and that none is shown with both"
    m = result("study/guards.json")
    ways = {row["strategy"]: row for row in m["rows"]}
    free, imitation, whole, default = (ways[name] for name in ("joint, no guard", "imitation in custom", "joint quarter 1 1.0", "joint quarter 1 0.75"))
    assert default["off"] == [] and default["seeds"] == free["seeds"] == whole["seeds"] == imitation["seeds"] == [0, 1, 2] and free["devices"] == default["devices"] == imitation["devices"]
    changes = [way["change"]["difference"] for way in (free, whole, default)]
    assert changes == sorted(changes) and free["change"]["high"] < 0 < default["change"]["high"], "smaller with each guard; with both none is shown"
    assert free["change"]["difference"] < imitation["change"]["difference"] < whole["change"]["difference"], "imitation gives back less than a quarter replayed"
    worth = result("study/summary.json")["changes"]["test"]["imitation in custom"]
    assert worth["general"]["low"] > 0 and .01 < worth["general"]["difference"] < .015, "little more than one point, for sure"
    assert worth["own"]["low"] < 0 < worth["own"]["high"], "no cost to the readers is shown"
    assert default["domain"]["low"] > default["general_model"]["domain"]["high"] + .2, "at little cost for the readers"
    floors = m["floors"]["bag_of_words"]
    assert [d for d, at in default["domains"].items() if at["low"] > floors[d]] == ["academy"], "surely better than the bag of words"
    sets = result("study/all-general.json")["general_sets"]
    def over_all(of): return sum(of(s) * s["n"] for s in sets.values()) / sum(s["n"] for s in sets.values())
    assert abs(over_all(lambda s: s["bag_of_words"]) - over_all(lambda s: s["general_rm"]["accuracy"])) < .02, "in general the bag of words is as good"


def test_a_tenth_leaves_a_loss():
    "Of the tutorial: a tenth replayed and the way back make the loss smaller and do not remove it"
    ways = {row["strategy"]: row for row in result("study/guards.json")["rows"]}
    changes = [ways[name]["change"] for name in ("joint 1.0", "joint replay 1.0", "joint replay 0.75")]
    assert [c["difference"] for c in changes] == sorted(c["difference"] for c in changes) and all(c["high"] < 0 for c in changes)


def test_the_summary_and_the_guards_are_one_study():
    "`summary.json` has the default as its recommended strategy, chosen beforehand, and the same figures as the first page's table"
    m, ways = result("study/summary.json"), {row["strategy"]: row for row in result("study/guards.json")["rows"]}
    assert m["recommended"] == "joint quarter 1 0.75" and m["chosen"] == "in the study's file" and m["seeds"] == [0, 1, 2] and set(m["general_sets"]) == {"helpful", "harmless", "webgpt", "gpt4llm"}
    for name, point in m["points"].items():
        if name == "general": continue
        for axis in ("domain", "general"): assert point[axis]["accuracy"] == pytest.approx(ways[name][axis]["accuracy"]), (name, axis)
