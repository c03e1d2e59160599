"A new loss, form, pooling and metric is one definition and one line in its table: each is added here to the running package, and used."
import json
import re

import pytest
from typer.testing import CliRunner

from custom_rm.convert import FORMS, Form, has_keys
from custom_rm.losses import LOSSES, Loss
from custom_rm.metrics import METRICS, Metric
from custom_rm.pooling import POOLINGS, Pooling


def from_duel(rows):
    for _, row in rows: yield {"text": [f"## Human:\n{row['q']}\n\n## Assistant:\n{row[a]}" for a in ("won", "lost")], "score": [1., 0.]}


ADDED = [
    (LOSSES, "shrinking", Loss(lambda rewards, scores, anchors: rewards.nan_to_num().square().sum(), "lists", "coefficient of the squared rewards")),
    (FORMS, "duel", Form(from_duel, has_keys("won", "lost"), "a question, and which of two answers won")),
    (POOLINGS, "second", Pooling(lambda hidden, mask: hidden[:, 1], None, "the second token")),
    (METRICS, "wins", Metric(lambda pairs: float((pairs.margin > 0).sum()), "pairs won", digits=0)),
]


@pytest.fixture(scope="module", autouse=True)
def added():
    for table, name, entry in ADDED: table[name] = entry
    yield
    for table, name, _ in ADDED: del table[name]


@pytest.fixture(scope="module")
def say():
    "Run the command line in this process, where the tables have grown"
    from custom_rm.cli import app
    def run(*words):
        done = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})
        assert done.exit_code == 0, (done.output, done.exception)
        return " ".join(done.output.split())
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory, say):
    "A recipe that uses all four, trained, measured and drawn"
    from custom_rm.tiny import sum_text, tiny_base, tiny_preferences
    home = tiny_preferences(tmp_path_factory.mktemp("tables"))
    tiny_base(home / "tiny", [sum_text(i, "It is 3. No idea!") for i in range(9)], "bert")
    rows = [{"q": f"What is {i} plus one?", "won": f"It is {i + 1}.", "lost": "No idea."} for i in range(40)]
    (home / "duels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "40 records" in say("convert", home / "duels.jsonl", home / "sums.json")
    (home / "recipe.yaml").write_text(f"""
name: added
base: {{name: {home}/tiny, quantize: false, pooling: second, max_length: 64}}
general: {{train: {{sums: {home}/sums.json}}, test: {{sums: {home}/general.test.json}}, shrinking: 0.01}}
validation: 0.2
""")
    return home, say("train", home / "recipe.yaml", "--out", home / "run", "--device", "cpu")


def test_in_help(say):
    assert re.search(r"--from .*\bduel\b", say("convert", "--help"))
    assert re.search(r"--metric .*\bwins\b", say("evaluate", "--help"))
    help = say("train", "--help")
    assert "shrinking" in help and re.search(r"base\.pooling: [^;]*\bsecond\b", help)


def test_in_a_recipe(run):
    written = (run[0] / "run" / "recipe.yaml").read_text()
    assert "shrinking: 0.01 # coefficient of the squared rewards" in written
    assert re.search(r'pooling: "second" # last, mean, max, first or second;', written)


def test_refused_by_name():
    from custom_rm.core import DataError
    from custom_rm.recipes import BaseConfig, GeneralConfig
    with pytest.raises(DataError, match="choose last, mean, max, first, second, auto or null"): BaseConfig(pooling="third")
    with pytest.raises(DataError, match="shrinking"): GeneralConfig(losses={"shrinkign": 1.0})


def test_in_reports(run, say):
    home, said = run
    metrics = json.loads((home / "run" / "metrics.json").read_text())
    general = metrics["rms"]["general"]["sums"]
    assert general["wins"] == pytest.approx(general["accuracy"] * general["n"], abs=general["undecided"])
    card = json.loads((home / "run" / "general" / "reward_model.json").read_text())
    assert card["pooling"] == "second" and card["recipe"]["general"]["shrinking"] == 0.01
    assert any(line.get("shrinking_loss", 0) > 0 for line in card["history"])
    assert any("eval_sums_wins" in line for line in card["history"])
    table = say("evaluate", home / "run" / "general", home / "general.test.json", "--metric", "wins", "--device", "cpu")
    assert "pairs won" in table and f"{general['wins']:.0f}" in table


def test_in_plots(run):
    from custom_rm.plots import learning_curves, matrix_heatmap
    home, _ = run
    assert (home / "run" / "figures" / "learning_curves.png").is_file()
    card = json.loads((home / "run" / "general" / "reward_model.json").read_text())
    curves = learning_curves({"general": card["history"]})
    assert [ax.get_ylabel() for ax in curves.axes] == ["ranking loss", "shrinking loss", "accuracy on training pairs"]
    metrics = json.loads((home / "run" / "metrics.json").read_text())
    matrix = matrix_heatmap(metrics, "wins")
    assert f"{metrics['rms']['general']['sums']['wins']:.0f}" in [t.get_text() for t in matrix.axes[0].texts]


def test_in_a_study(run):
    from custom_rm.study import study_figures
    text = lambda i, a: f"## Human:\n{i}\n\n## Assistant:\n{a}"
    figures = study_figures([[1., 0.], [0., 2.]], [dict(text=[text(i, "yes"), text(i, "no")], score=[1, 0], prompt="") for i in (1, 2)])
    assert figures["wins"] == 1
