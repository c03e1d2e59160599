"What `custom-rm check` says where everything works, and where each thing is broken on purpose: never a traceback, never a wrong ✓."
import json
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import custom_rm.attention as attention
import custom_rm.check as checks
from custom_rm.attention import Heads
from custom_rm.cli import app

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    "Small trunks and heads, and no compiler, which takes seconds"
    monkeypatch.setattr(checks, "small_trunk", partial(checks.small_trunk, width=192))
    monkeypatch.setattr(checks, "SMOLLM2", Heads(4, 2, 16))
    monkeypatch.setattr(checks, "compiled_error", lambda device: 1e-7)
    monkeypatch.setattr(checks, "_texts", lambda real=checks._texts: [text[90:] for text in real()])
    attention.known_fault.cache_clear()
    yield
    attention.known_fault.cache_clear()


def raising(message, kind=RuntimeError):
    def broken(*args, **options): raise kind(message)
    return broken


def command(*words, tmp_path):
    "Exit code, lines and JSON of the command"
    file = tmp_path / "check.json"
    done = CliRunner().invoke(app, ["check", *map(str, words), "--json", str(file)], env={"COLUMNS": "80"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    report = json.loads(file.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    return done.exit_code, done.output.splitlines(), report


def worked(report): return {finding["name"]: finding["works"] for finding in report["findings"]}


def test_where_everything_works(tmp_path):
    code, lines, report = command("--device", "cpu", tmp_path=tmp_path)
    assert [f for f in report["findings"] if not f["works"]] == [] and (code, report["trains"], report["says"]) == (0, True, [])
    assert report["chosen"] | dict(tokens_per_second=0) == dict(dtype="float32", quantize=True, attention="stretch by stretch", tokens_per_second=0)
    assert {"python", "torch", "cuda", "transformers", "peft", "bitsandbytes", "datasets", "custom_rm"} <= set(report["versions"])
    assert report["chosen"]["tokens_per_second"] > 0 and report["machine"]["gib"] > report["machine"]["free"] > 0
    assert lines[-1] == "it can be trained here" and sum(line.startswith("✓") for line in lines) == 8


BROKEN = { # name → what is replaced; which lines are ✗; what is chosen; a piece of the advice
    "no bitsandbytes": (dict(modules=dict(bitsandbytes=None)), {"4-bit"}, dict(quantize=False), "base.quantize to false"),
    "bitsandbytes without this card": (dict(_packed=raising("Error named symbol not found at line 74 in file /src/csrc/ops.cu")), {"4-bit"}, dict(quantize=False), "base.quantize to false"),
    "four bits of something else": (dict(four_bit_error=lambda *args: .5), {"4-bit"}, dict(quantize=False), "base.quantize to false"),
    "bfloat16 differs": (dict(default_dtype=lambda device: torch.bfloat16, precision_error=lambda dtype, device: .3 if dtype == torch.bfloat16 else 1e-4), {"bfloat16"}, dict(dtype="float16"), "base.dtype to float16, since bfloat16 doesn't work here"),
    "sixteen bits give NaN": (dict(default_dtype=lambda device: torch.bfloat16, precision_error=lambda dtype, device: 0 if dtype == torch.float32 else float("nan")), {"bfloat16", "float16"}, dict(dtype="float32"), "base.dtype to float32"),
    "no compiler": (dict(compiled_error=raising("No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, '/usr/local/me/g++')")), {"compiled kernels"}, dict(attention="stretch by stretch"), None),
    "trees fail": (dict(kernel_error=raising("no kernel image is available")), {"trees", "FlexAttention"}, dict(attention="rectangles"), "texts are fed whole"),
    "trees leak": (dict(by_stretches=lambda q, k, v, layout, **options: attention.in_the_open(q, k, v, **options)), {"trees"}, dict(attention="rectangles"), "off by"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_where_one_thing_is_broken(name, tmp_path, monkeypatch):
    broken, bad, chosen, advice = BROKEN[name]
    for target, by in broken.items():
        if target == "modules": monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
        else: monkeypatch.setattr(checks, target, by)
    code, lines, report = command("--device", "cpu", tmp_path=tmp_path)
    assert code == 0 and report["trains"], "there is still a way to train"
    assert {f["name"]: f["said"] for f in report["findings"] if not f["works"]}.keys() == bad
    assert chosen.items() <= report["chosen"].items()
    assert any(advice in line for line in report["says"]) if advice else not report["says"]
    assert not re.search("Traceback|/src|/usr/local", "\n".join(lines))


def test_flex_that_fails_on_a_card(tmp_path, monkeypatch):
    "On a card FlexAttention is asked for its backward pass too; here it has none"
    monkeypatch.setattr(attention, "_against_card", lambda device: "")
    trees, flex = checks.attention_findings({Heads(4, 2, 16)}, torch.float32, CPU)
    assert trees.works and flex.works is False and "backward" in flex.said
    way, said = checks._choose_way(trees, flex, torch.device("cuda"))
    assert way == "stretch by stretch" and "FlexAttention fails" in said and flex.said in said


def test_parts_work_and_the_whole_does_not(tmp_path, monkeypatch):
    "A trunk in four bits fails though a layer works: full weights are tried next"
    monkeypatch.setattr(checks, "_quantize", raising("an illegal instruction"))
    code, lines, report = command("--device", "cpu", tmp_path=tmp_path)
    steps = [finding for finding in report["findings"] if finding["name"] == "training step"]
    assert code == 0 and [step["works"] for step in steps] == [False, True] and not report["chosen"]["quantize"]
    assert "illegal instruction" in steps[0]["said"] and "base.quantize" in report["says"][0]


def test_nothing_works(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "small_trunk", raising("CUDA error: no kernel image is available for execution on the device\nhint"))
    code, lines, report = command("--device", "cpu", tmp_path=tmp_path)
    assert code == 1 and not report["trains"] and report["chosen"] == {} and "install" in report["says"][-1]
    assert lines[-2] == "there is no way to train here as it is:" and lines[-1].startswith("- nothing can be trained here")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize("driver, built, words", [(None, None, "there is none here"), ("nvidia-smi", None, "built without CUDA"), ("nvidia-smi", "12.8", "finds no GPU")])
def test_no_gpu(driver, built, words, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: driver)
    monkeypatch.setattr("torch.version.cuda", built)
    code, lines, report = command("--device", "cuda", tmp_path=tmp_path)
    assert code == 1 and any(words in line for line in report["says"]) and report["versions"]["torch"]
    assert checks._find(None)[0] == CPU


def test_torch_cannot_be_loaded(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "custom_rm.check", None)
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 1 and "no way to train" in done.output and len(done.output.splitlines()) == 1


# with a recipe or an artefact

def test_a_recipes_base(home, tmp_path):
    code, lines, report = command(home / "recipe.yaml", "--device", "cpu", tmp_path=tmp_path)
    base = report["base"]
    assert code == 0 and (base["name"], base["architecture"], base["heads"], base["key_heads"], base["template"], base["max_length"]) == ("tiny", "llama", 4, 2, "dsp", 64)
    assert base["tokens_per_second"] > 0 and base["gib"] > 0 and any("fed trees" in line for line in lines)
    assert not re.search(re.escape(str(home)), "\n".join(lines) + json.dumps(report)), "a folder of this machine is shown"


def recipe_of(folder, base, **more):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(dict(name="small", base=dict(name=str(base), max_length=64), custom=dict(domains=["loud"], train="x.json", **more))))
    return path


def test_an_encoder_is_fed_rectangles(tmp_path):
    from custom_rm.tiny import tiny_base
    code, lines, report = command(recipe_of(tmp_path, tiny_base(tmp_path / "bert", kind="bert")), "--device", "cpu", tmp_path=tmp_path)
    assert code == 0 and any("texts are fed whole: an encoder" in line for line in lines)


@pytest.mark.parametrize("budget, advice", [(2048, "smaller base"), (10**8, "set token_budget to")])
def test_a_base_that_does_not_fit(budget, advice, home, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_memory", lambda device: (8, .001 if budget == 2048 else 2))
    monkeypatch.setattr(checks, "_loaded", raising("it must not be loaded"))
    code, lines, report = command(recipe_of(tmp_path, home / "tiny", token_budget=budget), "--device", "cpu", tmp_path=tmp_path)
    assert code == 1 and advice in report["says"][-1] and lines[-1] == f"- {report['says'][-1]}"


def test_a_base_that_is_not_there(tmp_path):
    code, lines, report = command(recipe_of(tmp_path, tmp_path / "nowhere"), "--device", "cpu", tmp_path=tmp_path)
    assert code == 1 and "base model" in report["says"][-1] and str(tmp_path) not in "\n".join(lines)


def test_a_base_that_cannot_be_loaded(home, tmp_path):
    import shutil
    shutil.copytree(home / "tiny", tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    code, lines, report = command(recipe_of(tmp_path, tmp_path / "cut"), "--device", "cpu", tmp_path=tmp_path)
    assert code == 1 and [f["works"] for f in report["base_findings"] if f["name"] in ("base", "loads")] == [False]


def test_an_artefact(home, tmp_path):
    from custom_rm.model import LoRA, RewardModel
    rm = RewardModel(home / "tiny", quantize=False, lora=LoRA(4, 8), max_length=64, device="cpu").add_adapter("x")
    code, lines, report = command(rm.save(tmp_path / "x"), "--device", "cpu", tmp_path=tmp_path)
    assert code == 0 and report["base"]["quantize"] is False and report["base"]["tokens_per_second"] > 0


def test_neither_recipe_nor_artefact(tmp_path):
    from custom_rm.core import DataError
    for wrong in ("nonsense", str(tmp_path)):
        done = CliRunner().invoke(app, ["check", wrong])
        assert isinstance(done.exception, DataError)
