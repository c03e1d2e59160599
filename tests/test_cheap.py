"Frozen layers are computed once, and heads are fitted: the same rewards, the same gradients, in less time."
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from custom_rm.artefact import load, read_card
from custom_rm.core import DataError
from custom_rm.instant import learn
from custom_rm.model import LoRA, RewardModel
from custom_rm.recipes import read_recipe
from custom_rm.scorer import score_texts, score_tokens, text_states
from custom_rm.stages import Run
from custom_rm.states import Store, text_key, write_block
from custom_rm.tiny import sum_text, tiny_base

KINDS = ("llama", "bert")


pytestmark = pytest.mark.usefixtures("own_cache")


def recipe(place, **changes):
    "A recipe about small sums; changes are dotted names"
    made = dict(name="sums", base=dict(name=str(place / "tiny"), max_length=64, quantize=False, template="dsp"), lora=dict(rank=4, alpha=8),
                general=dict(train=dict(sums=str(place / "general.train.json")), test=dict(sums=str(place / "general.test.json")), learning_rate=5e-3),
                custom=dict(domains=["loud"], train=str(place / "domains.train.json"), test=str(place / "domains.test.json"), learning_rate=5e-3, epochs=1, replay=0, blend=1))
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


@pytest.mark.parametrize("quantize", [False, True])
def test_frozen_layers_leave_memory(place, tmp_path, quantize):
    "With their weights gone, known texts are read as before, and a new one brings the same weights back"
    def ask(rm, ids):
        with torch.no_grad(): return rm(**rm.batch([dict(input_ids=ids)]))["rewards"]
    rm = RewardModel(place / "tiny", quantize, device="cpu", frozen=1).add_adapter("a")
    known, new = [[5, 6, 7, 8], [5, 6, 9]], [[1, 2, 3]]
    plain, other = ask(rm, known), ask(rm, new)
    rm.remember(tmp_path)
    ask(rm, known)
    rm.below.leave()
    assert rm.below.weight() == 0 < rm.below.size and not rm.below.lacks(known) and rm.below.lacks(new)
    assert torch.equal(ask(rm, known), plain) and rm.below.away
    assert torch.equal(ask(rm, new), other) and not rm.below.away and rm.below.weight() == rm.below.size


def test_frozen_layers_of_a_changed_base_stay_away(place, tmp_path):
    "What left memory is not replaced by other weights, or by those of another configuration"
    from safetensors.torch import load_file, save_file
    for change in ("model.safetensors", "config.json"):
        base = shutil.copytree(place / "tiny", tmp_path / change / "base")
        rm = RewardModel(base, quantize=False, device="cpu", frozen=1).add_adapter("a").remember(tmp_path / change / "states")
        with torch.no_grad(): rm(**rm.batch([dict(input_ids=[[5, 6, 7]])]))
        rm.below.leave()
        file = base / change
        if change == "config.json": file.write_text(file.read_text().replace('"rms_norm_eps": ', '"rms_norm_eps": 1'))
        else: save_file({name: 2 * w for name, w in load_file(file).items()}, file, metadata={"format": "pt"})
        with pytest.raises(DataError, match="have changed since they were loaded"), torch.no_grad():
            rm(**rm.batch([dict(input_ids=[[1, 2, 3]])]))


def test_a_slow_disk_is_left_alone(place, tmp_path, monkeypatch):
    "Where reading takes longer than computing, a run goes without, and says so"
    find = Store.find
    def slowly(self, key):
        found = find(self, key)
        if found is not None: time.sleep(.05)
        return found
    monkeypatch.setattr(Store, "find", slowly)
    run, rm, said = trained(place, tmp_path / "run", base__frozen=1, general__epochs=12, general__batch_size=4)
    assert rm.below.slow and any("took longer than computing" in line for line in said)
    before = rm.below.read
    with torch.no_grad(): rm(**rm.batch([dict(input_ids=[[5, 6, 7]])]))
    assert rm.below.read == before


def test_a_run_whose_layers_leave(place, tmp_path, monkeypatch):
    "A run lets large frozen layers go before its first step, and learns the same"
    found = []
    for large in (0, 1e12):
        monkeypatch.setattr("custom_rm.stages.LARGE", large)
        run, rm, said = trained(place, tmp_path / str(large), base__frozen=1)
        found.append((rm.weights("loud"), [line for line in said if "leave memory" in line], rm.below.away))
    assert len(found[0][1]) == 2 and found[0][2] and not found[1][1] and not found[1][2]
    for name, weight in found[0][0].items(): assert torch.allclose(weight, found[1][0][name], atol=1e-6), name


def test_a_plan_knows_what_leaves(place):
    "Of a 7B base whose lower three quarters are frozen, a quarter is in memory while it learns"
    from transformers import LlamaConfig
    from custom_rm.plan import memory
    seven = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)
    whole, upper = (memory(seven, LoRA(), 2048, frozen=frozen) for frozen in (0, 24))
    for part in ("adapter", "activations"): assert upper[part] == pytest.approx(whole[part] / 4, rel=.01), part
    assert upper["trunk"] < whole["trunk"] / 2 and upper["filling"] > whole["trunk"] and "filling" not in whole
    assert upper["filling"] <= upper["total"] < whole["total"] / 2


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


TOKENS = [[5, 6, 7, 8, 9], [5, 6, 7, 10], [5, 6, 7], [11], list(range(12, 40)), [5, 6, 7, 8, 9, 10, 40]]


def bent(base, lora=None, **options):
    "A reward model whose adapter bends all that it may"
    rm = RewardModel(base, quantize=False, device="cpu", lora=lora, max_length=64, **options).add_adapter("a")
    with torch.no_grad():
        for name, p in rm.named_parameters():
            if "lora_B" in name: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))) * .1)
    return rm


@pytest.mark.parametrize("kind", ["electra", "opt", "qwen3_moe", "deberta-v3"])
def test_nothing_is_bent_below(tmp_path, kind):
    "A matrix before the first layer and fused experts are left alone; layers that return more than states hand on"
    tiny_base(tmp_path / "base", kind=kind)
    rm = bent(tmp_path / "base", frozen=1)
    names = [name for name in rm.weights("a") if "lora_B" in name]
    assert names and not any(word in name for name in names for word in (".0.", "embeddings", "project_in"))
    plain = score_tokens(rm, TOKENS)
    rm.remember(tmp_path / "states")
    for _ in range(2): assert np.abs(score_tokens(rm, TOKENS) - plain).max() < 1e-4 * plain.std()
    assert rm.below.computed and rm.below.read
    rm.save(tmp_path / "art")
    rm.add_adapter("plain")
    again = load(tmp_path / "art", device="cpu")
    assert np.abs(score_tokens(again, TOKENS) - plain).max() < 1e-4 * plain.std()


def test_states_are_read_without_dropout(place, tmp_path):
    "… of the adapter that a head grows from"
    rm, votes = bent(place / "tiny", LoRA(4, 8, .5)), [dict(text=[sum_text(i, "Yes!"), sum_text(i, "No.")], score=[1, 0]) for i in range(6)]
    rm.train()
    first, second = (text_states(rm, TOKENS) for _ in range(2))
    assert rm.training and torch.equal(first, second)
    heads = []
    for name in ("one", "other"):
        learn(rm.eval(), votes, name, prior="a")
        heads.append(rm.head(name).weight.detach().clone())
    assert torch.equal(*heads)


def test_a_vote_that_teaches_nothing_leaves_nothing(place):
    rm, vote = bent(place / "tiny"), dict(text=[sum_text(1, "Yes"), sum_text(1, "No")])
    for score, words in (([1, 1], "unequal"), ([1], "2 texts but 1 scores"), ([1, 0, 1], "2 texts but 3")):
        with pytest.raises(DataError, match=words): learn(rm, [dict(vote, score=score)])
    with pytest.raises(DataError, match="no adapter 'nobody'"): learn(rm, [dict(vote, score=[1, 0])], prior="nobody")
    assert rm.adapters == ["a"] and rm.active == "a"


def test_questions_that_were_cut_away_are_several(place):
    rm = RewardModel(place / "tiny", quantize=False, device="cpu", max_length=32).add_adapter("a")
    long = [dict(text=[sum_text(i, f"{i}" + " yes" * 60 + "!"), sum_text(i, f"{i}" + " no" * 60)], score=[1, 0]) for i in range(12)]
    assert learn(rm, long).questions == 12


def test_one_question(place, tmp_path):
    "A share that nobody knows is null on the card, as JSON wants it"
    (place / "one.json").write_text('[{"text": ["## Human:\\nHi\\n\\n## Assistant:\\nYes", "## Human:\\nHi\\n\\n## Assistant:\\nNo"], "score": [1, 0]}]')
    _, _, said = trained(place, tmp_path / "run", general__method="head", general__train=dict(one=str(place / "one.json")), custom__domains=[])
    assert read_card(tmp_path / "run" / "general")["head"]["accuracy"] is None
    assert "NaN" not in (tmp_path / "run" / "general" / "reward_model.json").read_text()
    assert any("none could be left out" in line for line in said)


@pytest.mark.parametrize("gib", [float("nan"), float("inf"), -1.])
def test_room_is_a_number(tmp_path, gib):
    with pytest.raises(DataError, match="0 or more"): Store({}, tmp_path, gib)


def test_a_store_that_is_too_small_removes_nothing(tmp_path):
    "… of what others keep, and needs no folder that is there, nor one that it may write to"
    kept = write_block(tmp_path / "other", {text_key([1]): torch.ones(3, 4)})
    begun, theirs = kept.with_name(f".{kept.stem}.def"), [kept.with_name(name) for name in (".gitignore", "model.safetensors")]
    for file in (begun, *theirs):
        file.write_text("by a process that was killed, or by somebody")
        os.utime(file, (0, 0))
    small = Store({}, tmp_path, gib=10 / 2**30)
    small.put("ab", torch.ones(3, 4))
    small.flush()
    assert small.full and kept.exists()
    wide = Store({}, tmp_path)
    wide.put("ab", torch.ones(3, 4))
    wide.flush()
    assert not begun.exists() and all(file.exists() for file in theirs)
    for n in range(2): wide.put("ab", torch.ones(3, 4))
    wide.flush()
    assert len(wide.blocks) == 1, "what is kept is not kept again"


def test_a_store_whose_folder_goes(tmp_path):
    store = Store({}, tmp_path / "s")
    store.put("ab", torch.ones(3, 4))
    store.flush()
    other = Store({}, tmp_path / "s")
    shutil.rmtree(tmp_path / "s")
    assert other.find("ab") is not None and store.find("ab") is not None
    store.put("cd", torch.ones(3, 4))
    store.flush()
    assert not store.full and Store({}, tmp_path / "s").find("cd") is not None


def test_a_store_that_may_only_be_read(tmp_path, monkeypatch):
    first = Store({}, tmp_path)
    for key in ("ab", "cd"):
        first.put(key, torch.ones(3, 4))
        first.flush()
    broken = max(tmp_path.glob("*/*.safetensors"))
    broken.write_bytes(broken.read_bytes()[:-3])
    def refuse(*args, **kwargs): raise PermissionError(13, "Permission denied")
    for name in ("unlink", "mkdir", "rename"): monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(os, "utime", refuse)
    store = Store({}, tmp_path)
    assert sum(store.find(key) is not None for key in ("ab", "cd")) == 1
    store.put("ef", torch.ones(3, 4))
    store.flush()
    assert store.full == "Permission denied"


def test_check_loads_what_a_run_would(place, tmp_path):
    "A published head that base.name would throw away, and more frozen layers than there are"
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from custom_rm.check import asked_of
    AutoModelForSequenceClassification.from_pretrained(place / "tiny", num_labels=1).save_pretrained(tmp_path / "published")
    AutoTokenizer.from_pretrained(place / "tiny").save_pretrained(tmp_path / "published")
    def loaded(**base):
        made = yaml.safe_load((place / "r.yaml").read_text())
        made["base"] = made["base"] | base
        if not base.get("name", True):
            del made["base"]["name"]
            made["general"]["start"] = str(tmp_path / "published")
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(made))
        return asked_of(tmp_path / "r.yaml").load("cpu")
    recipe(place)
    with pytest.raises(DataError, match="give 1 or less"): loaded(frozen=2)
    with pytest.raises(DataError, match="general.start"): loaded(name=str(tmp_path / "published"))
    assert loaded(name="").start and loaded(frozen=1).frozen == 1


def test_auto_takes_what_is_faster(monkeypatch):
    "bfloat16 only where a trial says that it pays, and only where it is asked for"
    from custom_rm import trunk
    for faster, slower, wanted in ((torch.bfloat16, torch.float32, torch.bfloat16), (torch.float32, torch.bfloat16, torch.float32)):
        monkeypatch.setattr(trunk, "product_seconds", lambda dtype: {faster: .001, slower: .01}[dtype])
        trunk.bfloat16_pays.cache_clear()
        assert trunk.choose_dtype("auto", "cpu") == wanted and trunk.choose_dtype(None, "cpu") == torch.float32
    trunk.bfloat16_pays.cache_clear()
    assert trunk.choose_dtype("float16", "cpu") == torch.float16
