"What `bench/imitation.py` and `bench/experts.py` say: differences to the same training without, on the seeds and domains that both have, and files whose figures fit each other."
import json
import sys
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / "bench"))
import experts  # noqa: E402
import imitation  # noqa: E402


def cell(strategy, domain, seed, own, general, measure="custom"):
    "A finished cell of eight own and eight general pairs, so many of them right"
    def signs(right): return dict(right="1" * right + "0" * (8 - right))
    return dict(strategy=strategy, domain=domain, seed=seed, measure=measure, general_sets=["usual"], test={domain: signs(own), "usual": signs(general)})


QUESTIONS = dict(test=dict(a=list(range(8)), b=list(range(8)), usual=list(range(8))))


def changes(cells):
    by = {}
    for c in cells: by.setdefault(c["strategy"], []).append(c)
    return imitation.changes(by, QUESTIONS, "test")


def test_against_the_same_without():
    "Imitation beside the training without it, and beside the general model it grew from; only seeds and domains that both have count"
    cells = [cell("general", d, s, 4, 6, "general") for d in "ab" for s in (0, 1)] + [cell("general with imitation", d, 0, 4, 7, "general") for d in "ab"]
    cells += [cell("joint 1.0", d, s, 7, 4) for d in "ab" for s in (0, 1)] + [cell("imitation in both stages", "a", 0, 6, 6)]
    found = changes(cells)
    both = found["imitation in both stages"]
    assert both["control"] == "joint 1.0" and both["start"] == "general with imitation"
    assert both["own"]["difference"] == pytest.approx(-1 / 8) and both["general"]["difference"] == pytest.approx(2 / 8) and both["lost"]["difference"] == pytest.approx(-1 / 8)
    assert both["own"]["n"] == 8 and both["own"]["seeds"] == [0]
    assert found["joint 1.0"]["lost"]["difference"] == pytest.approx(-2 / 8) and found["joint 1.0"]["lost"]["seeds"] == [0, 1] and "control" not in found["joint 1.0"]
    assert found["general with imitation"]["general"]["difference"] == pytest.approx(1 / 8) and "general" not in found


def test_controls_are_strategies_of_the_study():
    from custom_rm.study import read_study
    known = [name for study in imitation.STUDIES for name in read_study(root / "custom_rm" / "studies" / f"{study}.yaml").strategies]
    assert {*imitation.CONTROLS, *imitation.CONTROLS.values(), *imitation.GUARDS, *imitation.GUARDS.values(), *imitation.TAUGHT_BY, *imitation.TAUGHT_BY.values()} <= set(known)


def test_the_file_says_what_its_points_say():
    "Each difference is that of two points wherever both have the same seeds, and imitation is among the points"
    found = json.loads((root / "results" / "study" / "imitation.json").read_text())
    at = found["points"]
    assert found["seeds"] == [0, 1, 2] and any("imitation" in name for name in at) and set(found["general_sets"]) == {"helpful", "harmless", "webgpt", "gpt4llm"}
    for name, row in found["changes"]["test"].items():
        for key, other in (("own", row.get("control")), ("general", row.get("control")), ("lost", row.get("start"))):
            axis = "domain" if key == "own" else "general"
            if not row.get(key) or at[name]["seeds"] != at[other]["seeds"] or len(row[key]["seeds"]) != at[name]["seeds"]: continue
            assert row[key]["difference"] == pytest.approx(at[name][axis]["accuracy"] - at[other][axis]["accuracy"], abs=1e-9), (name, key)
            assert row[key]["low"] <= row[key]["difference"] <= row[key]["high"]


def test_experts_are_measured_on_all_sets():
    found = json.loads((root / "results" / "study" / "experts.json").read_text())
    sets = found["sets"]
    assert list(sets) == [*experts.SETS, "all"] and sets["all"]["n"] == sum(sets[s]["n"] for s in experts.SETS)
    for name in ("one head", "experts", "longer", "bag_of_words"):
        assert sum(sets[s][name]["accuracy"] * sets[s]["n"] for s in experts.SETS) / sets["all"]["n"] == pytest.approx(sets["all"][name]["accuracy"])
    for row in sets.values():
        for key, gap in row["minus"].items():
            one, other = key.split(" − ")
            assert gap["difference"] == pytest.approx(row[one]["accuracy"] - row[other]["accuracy"]) and gap["low"] <= gap["difference"] <= gap["high"]
    assert found["fitted"]["experts"]["kinds"] == experts.SETS
