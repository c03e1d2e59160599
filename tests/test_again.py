"A finished run is measured or trained again: after its test data changed, without its figures, and with an artefact that is damaged."
import json
import shutil

import pytest
from test_reuse import edit, prepare, recipe, run

from custom_rm.artefact import load
from custom_rm.core import DataError
from custom_rm.recipes import fill_settings, Recipe, settings, to_yaml
from custom_rm.runs import _is_done
from custom_rm.stages import _note_there, Run

KINDS = dict(joint=("joint", {}), pooled=("pooled", {}), apart=("apart", {}),
             head=("joint", dict(general__method="head", custom__method="head", custom__sharing="apart")),
             experts=("joint", dict(general__method="head", general__experts=True)))


def made(home, kind, **changes):
    how, given = KINDS[kind]
    return recipe(home, how, **given | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    "A finished run of each kind, and what it was made from"
    home = prepare(tmp_path_factory.mktemp("again"))
    with pytest.MonkeyPatch.context() as patch: # drawing takes longer than training here
        patch.setattr("custom_rm.runs.save_figures", lambda *a: [])
        patch.setattr("custom_rm.stages.free_memory", lambda: None) # nor is there much to collect
        for kind in KINDS: run(made(home, kind), home / "runs" / kind)
        yield home


@pytest.fixture
def copy(finished, tmp_path):
    "A copy of a run, to be hurt"
    return lambda kind: shutil.copytree(finished / "runs" / kind, tmp_path / "run")


def cut(path): path.write_bytes(path.read_bytes()[:-100])
def flip(path): path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
def lack(path, *keys): path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key not in keys}))
def text(said): return lambda path: path.write_text(said)
def remove(path): path.unlink()


def figures(folder): return json.loads((folder / "metrics.json").read_text())
def same(one, other): return all(one[key] == other[key] for key in ("rms", "weights", "floors", "overlap", "cut", "sets"))


FIGURES = dict(deleted=remove, empty=text(""), object=text("{}"), array=text("[]"), null=text("null"), truncated=cut, bytes=lambda path: path.write_bytes(b"\xff\xfe\x00"),
               rms=text('{"rms": {}, "floors": {}}'), number=text('{"rms": 1}'), cell=text('{"rms": {"base": 1}, "floors": {}}'), floors=lambda path: lack(path, "floors"))


MEASURED_AGAIN = [(kind, how) for kind in KINDS for how in ("deleted", "truncated")] + [("joint", "empty"), ("pooled", "object")]


@pytest.mark.parametrize("kind, how, again", [(*case, n % 3 == 0) for n, case in enumerate(MEASURED_AGAIN)])
def test_figures_that_are_gone_are_measured_anew(finished, copy, kind, how, again):
    "As a new run would measure, and nothing is trained"
    folder = copy(kind)
    before = figures(folder)
    FIGURES[how](folder / "metrics.json")
    lines, after = run(made(finished, kind), folder, again=again)
    assert same(after, before) and figures(folder) == after
    assert [line.split()[0] for line in lines if line.endswith("is there already")] == ["general", "loud", "quiet"]
    assert any("metrics.json: is damaged; everything is measured anew" in line for line in lines) == (how != "deleted")
    assert any("trained and measured already" in line for line in run(made(finished, kind), folder)[0])


@pytest.mark.parametrize("how", FIGURES)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_figures_are_none(finished, copy, kind, how):
    folder, now = copy(kind), made(finished, kind)
    assert _is_done(Run(now, folder, "cpu"))
    FIGURES[how](folder / "metrics.json")
    for again in (False, True):
        said = []
        assert not _is_done(Run(now, folder, "cpu", said.append, again=again))
        assert said == [f"{folder}/metrics.json: is damaged; everything is measured anew"] * (how != "deleted")


@pytest.mark.parametrize("kind", KINDS)
def test_a_test_file_that_changed_and_came_back(finished, copy, tmp_path, kind):
    "Measured anew both times, the second time with --again; nothing is trained, and what comes back is what was"
    folder, now, kept = copy(kind), made(finished, kind), (finished / "general.test.json").read_text()
    before = figures(folder)
    edit("general.test.json", "No idea", "No clue")(finished)
    try:
        lines, after = run(now, folder)
        if kind == "joint": assert run(now, tmp_path / "fresh")[1]["rms"] == after["rms"]
    finally: (finished / "general.test.json").write_text(kept)
    assert after["weights"] == before["weights"] and after["tests"] != before["tests"] and after["rms"] != before["rms"]
    more, back = run(now, folder, again=True)
    assert same(back, before) and not any("records, " in line for line in lines + more)


def test_moved_data(finished, copy, tmp_path):
    "Files elsewhere are the same files: measured again, not trained again"
    for path in finished.glob("*.json"): shutil.copy(path, tmp_path)
    folder, given = copy("joint"), json.dumps(settings(made(finished, "joint")))
    moved = json.loads(given.replace(f"{finished}/", f"{tmp_path}/").replace(f"{tmp_path}/base", f"{finished}/base"))
    lines, after = run(fill_settings(Recipe, moved, ""), folder, again=True)
    assert after["rms"] == figures(finished / "runs" / "joint")["rms"] and not any("records, " in line for line in lines)


def test_two_seeds(finished, tmp_path):
    two = made(finished, "pooled", seeds=[0, 1])
    before = run(two, tmp_path / "two")[1]
    (tmp_path / "two" / "metrics.json").write_text("{")
    (tmp_path / "two" / "seed-1" / "metrics.json").unlink()
    lines, after = run(two, tmp_path / "two")
    assert after["rms"] == before["rms"] and sum("trained and measured already" in line for line in lines) == 1
    cut(tmp_path / "two" / "seed-1" / "quiet" / "adapter_model.safetensors")
    with pytest.raises(DataError, match="seed-1/quiet/.*--again"): run(two, tmp_path / "two")


ARTEFACT = {"weights cut": ("adapter_model.safetensors", cut), "a bit of the weights": ("adapter_model.safetensors", flip), "weights empty": ("adapter_model.safetensors", text("")),
            "weights gone": ("adapter_model.safetensors", remove), "weights a pointer": ("adapter_model.safetensors", text("version https://git-lfs.github.com/spec/v1\n")),
            "card {}": ("reward_model.json", text("{}")), "card empty": ("reward_model.json", text("")), "card []": ("reward_model.json", text("[]")), "card cut": ("reward_model.json", cut),
            "card without its hash": ("reward_model.json", lambda path: lack(path, "weights_sha256")), "card without its history": ("reward_model.json", lambda path: lack(path, "history")),
            "card of a later version": ("reward_model.json", lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | dict(format=99)))),
            "questions cut": ("questions.txt", lambda path: path.write_text(path.read_text()[:-2]))}


@pytest.mark.parametrize("what", ARTEFACT)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_seen(finished, copy, kind, what):
    "The refusal says --again; with it the stage counts as not there"
    folder, (name, hurt), now = copy(kind), ARTEFACT[what], made(finished, kind)
    for stage in ("quiet", "general"):
        hurt(folder / stage / name)
        with pytest.raises(DataError) as e: run(now, folder)
        line = str(e.value)
        assert line.startswith(f"{folder / stage}") and line.endswith(", or make it and what grows from it anew with --again") and "\n" not in line
        said = []
        again = Run(now, folder, "cpu", said.append, again=True)
        assert not _is_done(again) and again.left(stage) is None and sum(f"{stage:9} is damaged and made anew: {folder / stage}" in line for line in said) == 1


@pytest.mark.parametrize("measured, stage, what", [(True, "quiet", "weights cut"), (False, "general", "card {}")])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_made_anew(finished, copy, kind, what, stage, measured):
    "With --again the run ends as a new one would; the same weights come out, so nothing that grows from them is another"
    folder, (name, hurt), now = copy(kind), ARTEFACT[what], made(finished, kind)
    before = figures(folder)
    hurt(folder / stage / name)
    if not measured: (folder / "metrics.json").unlink()
    lines, after = run(now, folder, again=True)
    assert same(after, before) and sum(f"{stage:9} is damaged and made anew: " in line for line in lines) == 1
    shared = kind in ("joint", "pooled", "experts")
    assert {line.split()[0] for line in lines if " records, " in line} == ({"general"} if stage == "general" else {"loud"} if shared else {"quiet"})
    said = [line for line in lines if "all are made anew" in line]
    assert len(said) == (shared and stage == "quiet") and all("made loud too, but quiet is damaged" in line for line in said)
    assert any("trained and measured already" in line for line in run(now, folder)[0])
    assert load(folder / stage).adapters == [stage], "and it can be scored with"


def test_every_artefact_damaged_at_once(finished, copy):
    folder, now = copy("joint"), made(finished, "joint")
    before = figures(folder)
    for stage, (name, hurt) in zip(("general", "loud", "quiet"), (ARTEFACT[what] for what in ("card {}", "weights cut", "card cut"))): hurt(folder / stage / name)
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match="general/.*--again"): run(now, folder)
    lines, after = run(now, folder, again=True)
    assert same(after, before) and not any("all are made anew" in line for line in lines)


def test_damage_and_a_change(finished, copy, tmp_path):
    "What is damaged and what has changed are made anew in one go"
    folder = copy("head")
    cut(folder / "general" / "adapter_model.safetensors")
    now = made(finished, "head", custom__rows=4)
    assert same(run(now, folder, again=True)[1], run(now, tmp_path / "fresh")[1])


def test_a_stage_alone_is_refused_too(finished, copy):
    folder, said = copy("joint"), []
    (folder / "general" / "reward_model.json").write_text("{}")
    with pytest.raises(DataError, match="general/reward_model.json: .*--again"): Run(made(finished, "joint"), folder, "cpu", said.append).train_stage("quiet")
    assert Run(made(finished, "joint"), folder, "cpu", said.append, again=True).train_stage("quiet") == folder / "quiet"
    assert any("general   is damaged" in line for line in said) and not any("quiet     is there" in line for line in said)


def test_a_card_that_is_gone(finished, copy):
    "Such a stage is not there; what grew from it needs it"
    folder, now = copy("joint"), made(finished, "joint")
    (folder / "general" / "reward_model.json").unlink()
    before = figures(folder)
    with pytest.raises(DataError, match="the model 'general' that it grows from.*--again"): run(now, folder)
    assert same(run(now, folder, again=True)[1], before)


@pytest.mark.parametrize("said", ["", "name: [", "7", "name: 7", "general: {rows: x}"])
def test_a_damaged_recipe_of_the_folder(finished, copy, said):
    folder, now = copy("joint"), made(finished, "joint")
    (folder / "recipe.yaml").write_text(said)
    with pytest.raises(DataError) as e: run(now, folder)
    assert "--again" in str(e.value) and "\n" not in str(e.value)
    assert any("trained and measured already" in line for line in run(now, folder, again=True)[0])


@pytest.mark.parametrize("said", ["", "{", "[]", "{}", "7"])
def test_a_damaged_note_of_checkpoints(tmp_path, said):
    (tmp_path / "made-from.json").write_text(said)
    assert not _note_there(tmp_path / "made-from.json")


def test_checkpoints_of_nobody_knows_what_are_thrown_away(finished, copy):
    folder, now = copy("apart"), made(finished, "apart")
    before = figures(folder)
    shutil.rmtree(folder / "loud")
    (folder / ".work" / "loud-checkpoints" / "checkpoint-1").mkdir(parents=True)
    (folder / ".work" / "loud-checkpoints" / "made-from.json").write_text("{")
    assert same(run(now, folder)[1], before)


def test_looking_is_cheap(finished, copy, monkeypatch):
    "No file of weights is read twice, and no model is loaded, to see that a run is done"
    from custom_rm import stages
    read, sha = [], stages.file_sha256
    monkeypatch.setattr(stages, "file_sha256", lambda path: (read.append(path), sha(path))[1])
    done = Run(made(finished, "joint"), copy("joint"), "cpu")
    assert _is_done(done) and _is_done(done) and done.rm is None
    weights = [path for path in read if path.name == "adapter_model.safetensors"]
    assert sorted(path.parent.name for path in weights) == ["general", "loud", "quiet"]


def test_the_command_line(finished, custom_rm, tmp_path):
    "No table of figures is printed for a damaged run"
    (tmp_path / "r.yaml").write_text(to_yaml(made(finished, "head")))
    folder = shutil.copytree(finished / "runs" / "head", tmp_path / "run")
    cut(folder / "loud" / "adapter_model.safetensors")
    words = ("train", tmp_path / "r.yaml", "--out", folder, "--device", "cpu")
    refused = custom_rm(*words)
    assert refused.returncode == 2 and "--again" in refused.stderr and "Traceback" not in refused.stderr and "accuracy in %" not in refused.stdout
