"Bad input: one clear line each, exit code 2, inputs untouched, nothing half-written left."
import hashlib
import json

import pytest

good = {"text": ["## Human:\nHi\n\n## Assistant:\nHello.", "## Human:\nHi\n\n## Assistant:\nNo."], "score": [1, 0]}
dsp = {"query": "Hi", "responses": {"academy": "Hello.", "business": "Yes?", "normal": "Hi."}}
lines = lambda *rows: "\n".join(json.dumps(r) for r in rows).encode()

FAULTS = {
    "missing key": ("r.jsonl", lines(good, {"text": ["a", "b"]}), [], 'r.jsonl, line 2: key "score" is missing'),
    "k is 1": ("r.jsonl", lines({"text": ["a"], "score": [1]}), [], "holds 1 text; a comparison needs at least 2"),
    "NaN score": ("r.json", json.dumps([good, {"text": ["a", "b"], "score": [1, float("nan")]}]).encode(), [], "record 2: score[1] is NaN"),
    "unequal lengths": ("r.jsonl", lines(good, good, {"text": ["a", "b"], "score": [1]}), [], "line 3: 2 texts but 1 scores"),
    "broken line": ("r.jsonl", lines(good) + b'\n{"text": ["a"', [], "r.jsonl, line 2: broken JSON"),
    "empty file": ("r.json", b"", [], "is empty"),
    "not UTF-8": ("r.json", '[{"text": ["é"'.encode("latin-1"), [], "is not UTF-8"),
    "unknown domain": ("d.json", json.dumps([dsp]).encode(), ["--domain", "poetry"], "academy, business, normal"),
    "domain absent from one query": ("d.json", json.dumps([dsp, {"query": "Ho", "responses": {"business": "x", "normal": "y"}}]).encode(), ["--domain", "academy"], "record 2"),
    "no domain given": ("d.json", json.dumps([dsp]).encode(), [], "academy, business, normal"),
}


def one_line(done, *parts):
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("custom-rm: "), done.stderr
    for part in parts: assert part in done.stderr, done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_convert(custom_rm, tmp_path, fault):
    name, content, options, message = FAULTS[fault]
    (tmp_path / name).write_bytes(content)
    one_line(custom_rm("convert", tmp_path / name, tmp_path / "out.json", *options), message)
    assert [p.name for p in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("fault", [f for f in FAULTS if not FAULTS[f][2] and f != "no domain given"])
def test_the_same_for_evaluate_and_train(custom_rm, finished, home, tmp_path, fault):
    name, content, _, message = FAULTS[fault]
    (tmp_path / name).write_bytes(content)
    one_line(custom_rm("evaluate", finished[0] / "general", tmp_path / name, "--json", tmp_path / "out.json", "--device", "cpu"), message)
    (tmp_path / "recipe.yaml").write_text(f"base: {{name: {home}/tiny}}\ngeneral: {{train: {{x: {tmp_path}/{name}}}}}")
    one_line(custom_rm("train", tmp_path / "recipe.yaml", "--out", tmp_path / "run", "--device", "cpu"), message)
    assert not (tmp_path / "out.json").exists() and not list(tmp_path.rglob("reward_model.json")) and (tmp_path / name).read_bytes() == content


def test_paths_flags_of_the_paper(custom_rm, tmp_path):
    (tmp_path / "d.json").write_text(json.dumps([dsp]))
    done = custom_rm("convert", "--input_data_path", tmp_path / "d.json", "--domain", "academy", "--output_data_path", tmp_path / "out.json", "--convert", "--to_pairs")
    assert done.returncode == 0, done.stderr
    assert [r["score"] for r in json.loads((tmp_path / "out.json").read_text())] == [[1, 0], [1, 0]]


def test_absent_things(custom_rm, finished, home, tmp_path):
    one_line(custom_rm("convert", tmp_path / "none.json", tmp_path / "out.json"), "none.json: no such file")
    one_line(custom_rm("evaluate", tmp_path, home / "general.test.json"), "is not an artefact")
    one_line(custom_rm("train", "nonsense"), "no such recipe", "quickstart")
    (tmp_path / "r.yaml").write_text(f"base: {{name: {tmp_path}/no-such-model}}\ngeneral: {{train: {{x: {home}/general.train.json}}}}")
    one_line(custom_rm("train", tmp_path / "r.yaml", "--out", tmp_path / "run"), "no-such-model")
    (tmp_path / "r2.yaml").write_text(f"base: {{name: nobody/no-such-model}}\ngeneral: {{train: {{x: {home}/general.train.json}}}}")
    one_line(custom_rm("train", tmp_path / "r2.yaml", "--out", tmp_path / "run2"), "nobody/no-such-model")
    (tmp_path / "r3.yaml").write_text(f"custom: {{domains: [poetry], train: {home}/domains.train.json}}")
    one_line(custom_rm("train", tmp_path / "r3.yaml", "--out", tmp_path / "run3"), "unknown domain 'poetry'", "loud, quiet, normal")


def test_full_disk(home, tmp_path, monkeypatch):
    "A full disk is played by /dev/full, which takes no byte"
    import os, tempfile
    from custom_rm.convert import convert
    from custom_rm.core import DataError
    source = home / "domains.test.json"
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    real = tempfile.mkstemp
    def full(**options):
        handle, name = real(**options)
        os.close(handle)
        return os.open("/dev/full", os.O_WRONLY), name
    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(DataError, match="out.json: can't be written .*No space left on device.*; free some space"): convert(source, tmp_path / "out.json", domain="loud")
    assert not list(tmp_path.iterdir()) and hashlib.sha256(source.read_bytes()).hexdigest() == before


def test_full_disk_while_an_artefact_is_written(home, tmp_path, monkeypatch):
    from safetensors import torch as st
    from custom_rm.model import RewardModel
    from custom_rm.core import DataError
    rm = RewardModel(home / "tiny", device="cpu").add_adapter("a")
    def full(*args, **kwargs): raise OSError(28, "No space left on device")
    monkeypatch.setattr(st, "save_file", full)
    with pytest.raises(DataError, match="can't be written .No space left"): rm.save(tmp_path / "a")
    assert not list(tmp_path.iterdir())
