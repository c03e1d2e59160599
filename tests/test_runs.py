"A run from end to end: what it leaves, and that it goes on after kill -9 as if nothing had happened."
import json
import signal

import pytest


def test_leaves_what_it_should(finished):
    folder, metrics, out = finished
    assert {"recipe.yaml", "general", "loud", "quiet", "metrics.json", "figures", "log.jsonl"} <= {p.name for p in folder.iterdir()}
    assert {p.name for p in (folder / "figures").iterdir()} == {"matrix.png", "learning_curves.png", "custom_against_general.png", "reliability.png"}
    assert not list(folder.rglob("*.bin")) and not list(folder.rglob("*.pt")) and not list(folder.rglob("*.pkl"))
    assert "accuracy in %" in out and "left" in out
    for rm in ("base", "general", "loud", "quiet"):
        for name in ("sums", "loud", "quiet"):
            m = metrics["rms"][rm][name]
            assert 0 <= m["low"] <= m["accuracy"] <= m["high"] <= 1 and m["n"] > 0 and m["ties"] >= 0 and 0 <= m["ece"] <= 1 and isinstance(m["margin"], float)
    assert set(metrics["floors"]) == {"longer", "bag_of_words"} and set(metrics["floors"]["bag_of_words"]) == {"sums", "loud", "quiet"}
    assert metrics["rms"]["loud"]["loud"]["n"] == 24 * 2 and metrics["rms"]["loud"]["loud"]["ties"] == 24


def test_learns(finished):
    _, metrics, _ = finished
    assert metrics["rms"]["general"]["sums"]["accuracy"] > .9
    for domain in ("loud", "quiet"): assert metrics["rms"][domain][domain]["accuracy"] > max(.9, metrics["rms"]["general"][domain]["accuracy"])


def test_lineage(finished):
    from custom_rm.artefact import read_card
    from custom_rm.core import file_sha256
    folder, *_ = finished
    card = read_card(folder / "loud")
    assert card["parent"] == {"name": "general", "weights_sha256": file_sha256(folder / "general" / "adapter_model.safetensors")}
    assert card["base"]["sha256"] == file_sha256(next((folder.parent / "tiny").glob("*.safetensors")))
    assert all(len(sha) == 64 for sha in card["data"].values()) and card["recipe"]["custom"]["replay"] == .25
    assert abs(card["history"][0]["ranking_loss"] / .6931 - 1) < 1 and card["metrics"]["loud"]["accuracy"] > .9
    assert {"ranking_loss", "imitation_loss", "accuracy", "margin"} <= set(card["history"][0])
    metrics = json.loads((folder / "metrics.json").read_text())
    figures = {"accuracy", "low", "high", "n", "ties", "ece", "margin"}
    for cells in [*metrics["rms"].values(), *metrics["floors"].values()]:
        for measured in cells.values(): assert figures <= set(measured)
    assert card["metrics"]["loud"]["accuracy"] == metrics["rms"]["loud"]["loud"]["accuracy"] and "calibration" not in card["metrics"]["loud"]


def test_joint_records_hold_every_opinion_once():
    "Texts in another order are the same question; of a doubled text the better opinion counts; what a domain doesn't judge is NaN."
    from custom_rm.stages import joint_records
    loud = [dict(text=["a", "b", "b"], score=[0., 1., 2.], prompt="p"), dict(text=["c", "d"], score=[1., 0.], prompt="q")]
    quiet = [dict(text=["b", "a", "b"], score=[0., 1., 0.], prompt="p")]
    first, second = joint_records(dict(loud=loud, quiet=quiet))
    assert (first["text"], first["score"], first["prompt"]) == (["a", "b"], [[0., 1.], [2., 0.]], "p")
    assert [scores[0] for scores in second["score"]] == [1., 0.] and all(scores[1] != scores[1] for scores in second["score"])


@pytest.mark.parametrize("stage", ["general", "loud", "quiet"])
def test_goes_on_after_kill_9(home, finished, custom_rm, stopped_at, stage):
    _, unbroken, _ = finished
    folder = home / f"killed-{stage}"
    killed = stopped_at("SIGKILL", "notes", f"stage={stage} .*step=(1[2-9]|[2-9][0-9])", 1, "train", home / "recipe.yaml", "--out", folder, "--device", "cpu")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / stage / "reward_model.json").exists(), "was killed too late"
    assert list((folder / ".work").glob(f"{stage}-checkpoints/checkpoint-*")), "no checkpoint yet: nothing to go on from"
    done = custom_rm("train", home / "recipe.yaml", "--out", folder, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert f"{stage:9} goes on at checkpoint" in done.stdout
    assert done.stdout.count("is there already") == ["general", "loud", "quiet"].index(stage)
    again = json.loads((folder / "metrics.json").read_text())
    assert again["rms"] == unbroken["rms"] and again["weights"] == unbroken["weights"]


def test_second_call_repeats_nothing(home, finished, custom_rm):
    folder, metrics, _ = finished
    start = {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")}
    done = custom_rm("train", home / "recipe.yaml", "--out", folder, "--device", "cpu")
    assert done.returncode == 0 and "trained and measured already" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")} == start


def test_evaluate_gives_the_same_figures(home, finished, custom_rm, tmp_path):
    folder, metrics, _ = finished
    done = custom_rm("evaluate", folder / "general", home / "general.test.json", "--train", home / "general.train.json", "--json", tmp_path / "out.json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    out = json.loads((tmp_path / "out.json").read_text())
    assert set(out) >= {"rms", "floors", "device", "versions", "date"}
    same, here = metrics["rms"]["general"]["sums"], out["rms"]["general"]["general.test"]
    assert {k: here[k] for k in ("accuracy", "low", "high", "n", "ties")} == {k: same[k] for k in ("accuracy", "low", "high", "n", "ties")}
    assert abs(here["margin"] - same["margin"]) < 1e-5
    assert out["floors"]["bag_of_words"]["general.test"]["accuracy"] == metrics["floors"]["bag_of_words"]["sums"]["accuracy"]


def test_score(home, finished, custom_rm, tmp_path):
    folder, *_ = finished
    done = custom_rm("score", folder / "loud", "--prompt", "What is 3 plus one?", "--response", "It is 4.", "--response", "It is 4!!!", "--json", tmp_path / "out.json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    row, = json.loads((tmp_path / "out.json").read_text())
    assert row["ranking"] == [1, 0] and row["rewards"][1] > row["rewards"][0]
    assert done.stdout.splitlines()[0].endswith("It is 4!!!")
    (tmp_path / "in.jsonl").write_text('{"prompt": "What is 3 plus one?", "responses": ["It is 4.", "It is 4!!!"]}\n"## Human:\\nHi\\n\\n## Assistant:\\nIt is 4."\n')
    done = custom_rm("score", folder / "loud", tmp_path / "in.jsonl", "--json", tmp_path / "out2.json", "--device", "cpu")
    first, second = json.loads((tmp_path / "out2.json").read_text())
    assert first["rewards"] == pytest.approx(row["rewards"], abs=1e-5) and len(second["rewards"]) == 1


@pytest.mark.parametrize("name", ["quickstart", "dsp", "dsp-cpu-part", "dsp-cpu-full", "published"])
def test_recipes_load(name):
    from custom_rm.core import recipe_path
    from custom_rm.recipes import read_recipe, to_yaml
    import yaml
    recipe = read_recipe(recipe_path(name))
    assert recipe.name == name
    assert yaml.safe_load(to_yaml(recipe))["custom"]["domains"] == recipe.custom.domains


def test_written_recipe_says_what_the_code_says():
    "dsp-cpu-full.yaml was written by `to_yaml`: below its head every line, help and all, is what would be written now."
    from custom_rm.core import recipe_path
    from custom_rm.recipes import read_recipe, to_yaml
    path = recipe_path("dsp-cpu-full")
    body = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert body == to_yaml(read_recipe(path)).splitlines()[1:]
