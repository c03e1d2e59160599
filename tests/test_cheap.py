"Frozen layers are computed once, and heads are fitted: the same rewards, the same gradients, in less time."
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from custom_rm.artefact import load, read_card
from custom_rm.core import DataError
from custom_rm.model import RewardModel
from custom_rm.recipes import read_recipe
from custom_rm.scorer import score_texts
from custom_rm.stages import Run
from custom_rm.states import Block, Store, text_key, write_block
from custom_rm.tiny import sum_text, tiny_base, tiny_preferences

KINDS = ("llama", "bert")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    home = tmp_path_factory.mktemp("cheap")
    tiny_preferences(home)
    tiny_base(home / "tiny", [sum_text(i, "Yes!!! No...") for i in range(9)])
    return home


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory): monkeypatch.setenv("CUSTOM_RM_CACHE", str(tmp_path_factory.mktemp("cache")))


def recipe(place, **changes):
    "A recipe about small sums; changes are dotted names"
    made = dict(name="sums", base=dict(name=str(place / "tiny"), max_length=64, quantize=False, template="dsp"), lora=dict(rank=4, alpha=8),
                general=dict(train=dict(sums=str(place / "general.train.json")), test=dict(sums=str(place / "general.test.json")), learning_rate=5e-3),
                custom=dict(domains=["loud"], train=str(place / "domains.train.json"), test=str(place / "domains.test.json"), learning_rate=5e-3))
    for name, value in changes.items():
        group, key = name.split("__")
        made[group][key] = value
    (place / "r.yaml").write_text(yaml.safe_dump(made))
    return read_recipe(place / "r.yaml")


def trained(place, folder, **changes):
    said = []
    run = Run(recipe(place, **changes), folder, "cpu", said.append)
    return run, run.train(), said


@pytest.mark.parametrize("quantize", [False, True])
def test_frozen_layers_change_nothing(place, tmp_path, quantize):
    "A run that remembers states learns what one learns that computes them again"
    rewards = []
    for gib in (8.0, 0.0):
        run = Run(recipe(place, base__frozen=1, base__quantize=quantize, general__epochs=2), tmp_path / str(gib), "cpu", lambda line: None, gib=gib)
        rm = run.train()
        assert (rm.below is not None) == bool(gib)
        if gib: assert rm.below.read >= 5
        rewards.append(score_texts(rm, [sum_text(i, "Yes!!!") for i in range(5)], ["general", "loud"]))
        assert not any("layers.0." in name for name in rm.weights("loud"))
    assert np.abs(rewards[0] - rewards[1]).max() < 1e-5 and rewards[0].std() > 1e-3
    assert read_card(tmp_path / "8.0" / "loud")["base"]["frozen"] == 1
    assert np.allclose(score_texts(load(tmp_path / "8.0" / "loud", device="cpu"), [sum_text(0, "Yes!!!")]), rewards[0][1, 0], atol=1e-5)


def test_heads_learn_in_seconds(place, tmp_path):
    run, rm, said = trained(place, tmp_path / "run", general__method="head", custom__method="head")
    assert any("head of 32 numbers" in line for line in said)
    assert rm.is_plain("general") and rm.is_plain("loud")
    again = load(tmp_path / "run" / "loud", device="cpu")
    loud, quiet = score_texts(again, [sum_text(3, "It is 4!!!"), sum_text(3, "It is 4...")])
    assert loud > quiet and read_card(tmp_path / "run" / "loud")["head"]["questions"] > 10


@pytest.mark.parametrize("change, words", [
    (dict(custom__method="head", custom__imitation=.1), "custom.imitation is a loss of training"),
    (dict(custom__method="head", custom__sharing="joint"), "one direction per domain"),
    (dict(custom__method="heads"), "custom.method"),
    (dict(base__frozen=-1), "base.frozen"),
    (dict(base__frozen=2), "give 1 or less")])
def test_refused(place, tmp_path, change, words):
    with pytest.raises(DataError, match=words): trained(place, tmp_path / "run", **change)


def test_a_spoilt_block_is_computed_again(place, tmp_path):
    rm = RewardModel(place / "tiny", quantize=False, device="cpu", frozen=1).add_adapter("a").remember(tmp_path)
    texts = [sum_text(i, "Yes.") for i in range(4)]
    want = score_texts(rm, texts)
    for store in (rm.pooled, rm.below.store): store.flush()
    for file in tmp_path.glob("*/*.safetensors"):
        spoilt = bytearray(file.read_bytes())
        spoilt[-3] ^= 255
        file.write_bytes(spoilt)
    rm = RewardModel(place / "tiny", quantize=False, device="cpu", frozen=1).add_adapter("a").remember(tmp_path)
    assert np.allclose(score_texts(rm, texts), want, atol=1e-6)


def test_a_block_cut_short_is_thrown_away(tmp_path):
    path = write_block(tmp_path / "s", {text_key([1]): torch.ones(3, 4)})
    path.write_bytes(path.read_bytes()[:-5])
    store = Store({}, tmp_path)
    store.folder = tmp_path / "s"
    store.refresh()
    assert store.find(text_key([1])) is None and not path.exists()


def test_disk_full(place, tmp_path, monkeypatch):
    "Costs time, not the run"
    import custom_rm.states as st
    def full(*args, **kwargs): raise OSError(28, "No space left on device")
    monkeypatch.setattr(st, "write_block", full)
    run, rm, said = trained(place, tmp_path / "run", base__frozen=1)
    assert "No space left" in rm.below.store.full
    assert sum("No space left" in line for line in said) == 1, said


def test_killed_while_a_block_is_written(tmp_path):
    "What a killed process leaves is no block, and the next one fills the store"
    code = ("import os, signal, torch\nfrom pathlib import Path\nimport custom_rm.states as st\n"
            "def kill(self, to): os.kill(os.getpid(), signal.SIGKILL)\n"
            "Path.rename = kill\n"
            f"s = st.Store({{}}, {str(tmp_path)!r}); s.put('ab', torch.ones(2, 2)); s.flush()")
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    store = Store({}, tmp_path)
    assert store.find("ab") is None
    store.put("ab", torch.ones(2, 2))
    store.flush()
    assert Store({}, tmp_path).find("ab") is not None and len(list(tmp_path.glob("*/*.safetensors"))) == 1


def test_two_processes_fill_one_store(tmp_path):
    code = ("import sys, torch, custom_rm.states as st\n"
            f"s = st.Store({{}}, {str(tmp_path)!r}, block=200)\n"
            "for i in range(40): s.put(st.text_key([i]), torch.full((2, 4), float(i)))\ns.flush()")
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    store = Store({}, tmp_path)
    assert all(store.find(text_key([i])).eq(i).all() for i in range(40))
