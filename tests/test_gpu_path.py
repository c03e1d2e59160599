"What will happen on GPUs, as far as a CPU can tell: devices, processes, float16, Apple's GPUs, memory, waiting."
import gc
import json
import math
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from datasets import Dataset, disable_progress_bars

disable_progress_bars()
root = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    from custom_rm.tiny import sum_text, tiny_base
    return tiny_base(tmp_path_factory.mktemp("gpu") / "tiny", [sum_text(i, "It is 3!!!") for i in range(9)], hidden_size=64)  # heads of 16, as FlexAttention wants them on CUDA


def tokens_of(rm, n=8):
    from custom_rm.packing import tokenize_records
    from custom_rm.tiny import sum_text
    return tokenize_records(Dataset.from_list([dict(text=[sum_text(i, f"{i+1}!!!"), sum_text(i, "No idea.")], score=[1., 0.]) for i in range(n)]), rm.tokenizer)[0]


def trainer_of(rm, folder, data=None, budget=2048, steps=4, args=None, **options):
    from transformers import PrinterCallback
    from custom_rm.trainer import RewardTrainer, training_arguments
    trainer = RewardTrainer(rm, args or training_arguments(folder, rm, steps, batch_size=2, save_strategy="no", **options), data or tokens_of(rm), budget=budget)
    trainer.remove_callback(PrinterCallback)
    return trainer


# ---- one process, one device ----

def test_two_visible_gpus_are_one(base, tmp_path):
    "No nn.DataParallel: its chunks would cut a row of trees."
    from custom_rm.model import RewardModel
    from custom_rm.trainer import training_arguments
    rm = RewardModel(base, quantize=False, device="cpu").add_adapter("x")
    args = training_arguments(tmp_path, rm, 4, batch_size=2, save_strategy="no")
    args._n_gpu = 2
    assert args.train_batch_size == 4  # what transformers makes of two GPUs
    trainer = trainer_of(rm, tmp_path, args=args)
    assert trainer.args.n_gpu <= 1 and trainer.args.train_batch_size == 2
    assert trainer._wrap_model(trainer.model) is rm
    trainer.train()
    assert trainer.state.global_step == 4 and trainer.model_wrapped is rm


def test_the_device_that_was_asked_for(monkeypatch, tmp_path):
    from transformers import TrainingArguments
    from custom_rm import trainer
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    args = TrainingArguments(str(tmp_path), use_cpu=True)
    args._n_gpu = 2
    second = torch.device("cuda:1")
    assert trainer._one_device(args, second).device == second and args.n_gpu == 1 and chosen == [second]


def test_each_process_has_its_own_gpu(monkeypatch):
    from custom_rm.core import DataError
    from custom_rm.trunk import find_device, load_trunk
    for name, value in dict(is_available=True, device_count=2, current_device=0).items(): monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert [str(find_device(name)) for name in (None, "cuda", "cuda:1", "cpu")] == ["cuda:0", "cuda:0", "cuda:1", "cpu"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [str(find_device(name)) for name in (None, "cuda")] == ["cuda:1", "cuda:1"]
    with pytest.raises(DataError, match="cuda:2"): find_device("cuda:2")
    seen = []  # what a launched process loads with
    monkeypatch.setattr("custom_rm.trunk._classifier", lambda base, config, options: seen.append(options["device_map"]) or 1 / 0)
    monkeypatch.setattr("custom_rm.trunk.default_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr("custom_rm.trunk._read_part", lambda *args, **options: None)
    monkeypatch.setattr("custom_rm.trunk.without_dropout", lambda config: config)
    from custom_rm.fetch import Base
    with pytest.raises(ZeroDivisionError): load_trunk(Base("x", "x", "x", None, ""))
    assert seen == [{"": torch.device("cuda:1")}]


def test_a_model_on_another_gpu_than_its_process(tmp_path):
    from types import SimpleNamespace
    from transformers.training_args import ParallelMode
    from custom_rm.core import DataError
    from custom_rm.trainer import _one_device
    args = SimpleNamespace(parallel_mode=ParallelMode.DISTRIBUTED, device=torch.device("cuda:1"), n_gpu=1)
    assert _one_device(args, torch.device("cuda:1")) is args
    with pytest.raises(DataError, match="is on cuda:0.*was given cuda:1"): _one_device(args, torch.device("cuda:0"))


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_what_cuts_a_trunk_is_refused(base, monkeypatch, name):
    from custom_rm.core import DataError
    from custom_rm.trunk import load_trunk
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    with pytest.raises(DataError, match="torchrun"): load_trunk(base, device="cpu")


def test_two_processes_train_evaluate_save_and_resume(base, tmp_path):
    "As one process does, with and without four bits."
    sys.path.insert(0, str(root / "tests"))
    from two_processes import run
    (tmp_path / "tiny").symlink_to(base)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0", "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    done = subprocess.run([*launch, str(root / "tests" / "two_processes.py"), str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    for quantize, two in json.loads((tmp_path / "curves.json").read_text()).items():
        one = run(tmp_path, quantize == "True")
        assert two["wrapped"] == "DistributedDataParallel" and one["wrapped"] == "RewardModel"
        assert len(two["resumed"]) == len(one["resumed"]) >= 7  # five steps, two validations
        if quantize == "False":  # as though never stopped
            assert one["apart"] == 0 and two["apart"] < 1e-6
            for found in (one, two): assert [x for x in found["unbroken"] if x[0]] == [x for x in found["resumed"] if x[0]]
        for a, b in zip(two["resumed"], one["resumed"]):
            for x, y in zip(a, b): assert x == y if x is None or y is None else x == pytest.approx(y, rel=2e-3, abs=1e-4)
        for name, weight in one["weights"].items(): assert torch.allclose(torch.tensor(two["weights"][name]), torch.tensor(weight), rtol=1e-2, atol=1e-3), name


# ---- float16 ----

def test_float16_on_a_cpu_is_refused(base, tmp_path):
    from custom_rm.core import DataError
    from custom_rm.model import RewardModel
    from custom_rm.trainer import training_arguments
    rm = RewardModel(base, quantize=False, device="cpu", dtype="float16").add_adapter("x")
    with pytest.raises(DataError, match="set base.dtype to float32"): training_arguments(tmp_path, rm, 4)


def in_float16(rm, folder, first_scale=None, **options):
    "A trainer that computes as on a T4: autocast to float16 and a scaler, by torch.amp on the CPU"
    from custom_rm.trainer import _scale_gently
    trainer = trainer_of(rm, folder, **options)
    accelerator = trainer.accelerator
    accelerator.state._mixed_precision, accelerator.native_amp, accelerator.scaler = "fp16", True, torch.amp.GradScaler("cpu")
    _scale_gently(accelerator.scaler)
    if first_scale: accelerator.scaler.load_state_dict(accelerator.scaler.state_dict() | dict(scale=first_scale))
    return trainer


def test_float16_learns_from_the_first_step(base, tmp_path):
    from custom_rm.model import RewardModel
    from custom_rm.stages import _numbers
    curves = []
    for make in (trainer_of, in_float16):
        trainer = make(RewardModel(base, quantize=False, device="cpu").add_adapter("x"), tmp_path, learning_rate=1e-3)
        trainer.train()
        curves.append([line for line in trainer.state.log_history if "loss" in line])
    wide, narrow = curves
    assert [line["skipped_steps"] for line in narrow] == [0, 0, 0, 0] and "skipped_steps" not in wide[0]
    assert [line["loss"] for line in narrow] == pytest.approx([line["loss"] for line in wide], rel=1e-2)
    assert [line["grad_norm"] for line in narrow] == pytest.approx([line["grad_norm"] for line in wide], rel=5e-2)
    json.dumps([_numbers(line) for line in narrow], allow_nan=False)


def test_steps_that_float16_leaves_out_are_counted_and_logged(base, tmp_path):
    "A scale of 2²⁴ overflows a few times, is halved each time, and then it learns; the log stays JSON."
    from custom_rm.model import RewardModel
    from custom_rm.stages import _numbers
    rm = RewardModel(base, quantize=False, device="cpu").add_adapter("x")
    trainer = in_float16(rm, tmp_path, first_scale=2.**24, steps=4, epochs=4, learning_rate=1e-3)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    skipped = [line["skipped_steps"] for line in lines]
    assert skipped[0] == 1 and skipped[-1] == 0 and set(skipped) == {0, 1}
    assert not math.isfinite(lines[0]["grad_norm"])  # what JSON has no word for
    json.dumps([_numbers(line) for line in lines], allow_nan=False)


def test_nothing_but_steps_left_out_is_no_training(base, tmp_path):
    from custom_rm.core import DataError
    from custom_rm.model import RewardModel
    rm = RewardModel(base, quantize=False, device="cpu").add_adapter("x")
    with pytest.raises(DataError, match="last 4 steps were left out.*set base.dtype"): in_float16(rm, tmp_path, first_scale=2.**60, steps=4).train()


def test_a_long_mean_has_room(base):
    "512 states of 200 sum to more than float16 holds."
    from custom_rm.pooling import pool
    assert torch.equal(pool(torch.full((1, 512, 4), 200., dtype=torch.float16), torch.ones(1, 512), "mean"), torch.full((1, 4), 200.))


# ---- memory ----

def test_each_seed_lets_go_of_its_trunk(base, tmp_path, monkeypatch):
    from custom_rm.model import LoRA
    from custom_rm.recipes import BaseConfig, CustomConfig, GeneralConfig, Recipe
    from custom_rm.runs import run_recipe
    from custom_rm.stages import Run
    from custom_rm.tiny import tiny_preferences
    data, trunks, new = tiny_preferences(tmp_path / "data", train=8, test=4), [], Run._new_model
    def watched(self):
        assert all(trunk() is None for trunk in trunks), "an earlier seed's trunk is still there"
        rm = new(self)
        trunks.append(weakref.ref(rm.trunk.base_model.model))
        return rm
    monkeypatch.setattr(Run, "_new_model", watched)
    general = GeneralConfig(train={"sums": str(data / "general.train.json")}, test={"sums": str(data / "general.test.json")})
    run_recipe(Recipe("two", BaseConfig(str(base), max_length=64), LoRA(2, 4), general, CustomConfig(), seeds=[0, 1]), tmp_path / "run", "cpu", lambda line: None)
    assert len(trunks) == 2 and all(trunk() is None for trunk in trunks)


@pytest.mark.parametrize("fails", [False, True])
def test_each_cell_lets_go_of_its_trunk(base, tmp_path, monkeypatch, fails):
    from custom_rm import study
    from custom_rm.model import RewardModel
    trunks = []
    def measure(*args):
        rm = RewardModel(base, quantize=False, device="cpu").add_adapter("x")
        trainer_of(rm, tmp_path / "t", tokens_of(rm, 2), max_steps=1).train()
        trunks.append(weakref.ref(rm.bare_trunk()))
        if fails: raise RuntimeError("no memory")
        return {}
    monkeypatch.setattr(study, "measure_cell", measure)
    monkeypatch.setattr(study, "fault", lambda study, cell, why: dict(failed=why))
    monkeypatch.setattr(study, "cell_head", lambda study, cell: dict(recipe="none"))
    gc.disable()
    try: measured = study.try_cell(None, ("plain", "loud", 0), tmp_path, "cpu", print)
    finally: gc.enable()
    assert ("failed" in measured) == fails and trunks[0]() is None


def test_scoring_keeps_no_masks(base):
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_texts
    from custom_rm.tiny import sum_text
    rm = RewardModel(base, quantize=False, device="cpu").add_adapter("x")
    layouts, batch = [], rm.batch
    def watched(records):
        made = batch(records)
        layouts.append(made["layout"])
        return made
    rm.batch = watched
    score_texts(rm, [sum_text(i, a) for i in range(6) for a in ("1", "2.", "3!")], budget=40)
    assert len(layouts) > 3 and not any(layout.kept for layout in layouts)


# ---- precision and Apple's GPUs ----

def test_scoring_computes_adapters_as_training_does(base):
    "In a trunk of 16 bits an adapter's matrices, kept in float32, multiply in 16 bits."
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_texts
    rm, seen = RewardModel(base, quantize=False, device="cpu", dtype="bfloat16").add_adapter("x"), []
    layer = next(layer for layer in rm.trunk.modules() if getattr(layer, "lora_A", None))
    assert layer.lora_A["x"].weight.dtype == torch.float32
    layer.lora_A["x"].register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    score_texts(rm, ["one", "two and three"])
    assert set(seen) == {torch.bfloat16}


class NoFloat64(torch.overrides.TorchFunctionMode):
    "Like Apple's GPUs: a tensor that has not been brought to the CPU can't become float64"
    def __init__(self):
        super().__init__()
        self.brought = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function is torch.Tensor.cpu: self.brought.append(out)
        known = any(out is x for x in self.brought) or any(a is x for a in args for x in self.brought)
        if torch.is_tensor(out) and out.dtype == torch.float64 and not known: raise TypeError(f"{function}: no float64 on this device")
        return out


def test_no_float64_on_the_device(base, tmp_path):
    from custom_rm.model import RewardModel
    from custom_rm.packing import score_table, unflatten
    from custom_rm.scorer import score_texts
    from custom_rm.trainer import step_counts
    rm = RewardModel(base, quantize=False, device="cpu").add_adapter("x")
    trainer, records = trainer_of(rm, tmp_path), list(tokens_of(rm, 2))
    with NoFloat64():
        with pytest.raises(TypeError, match="no float64"): torch.ones(2).double()
        assert score_texts(rm, ["one", "two"]).dtype == "float64"
        trainer.training_step(rm, records)
        trainer._since_last_line()
        trainer.losses(rm, records, step_counts(records))


def test_float64_only_behind_cpu():
    "The same, read in the source: `.double()` follows `.cpu()`, and nothing else asks a tensor for it."
    for path in (root / "custom_rm").glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"torch\.(float64|double)\b", line), f"{path.name}: {line}"
            if ".double()" in line: assert ".cpu().double()" in line, f"{path.name}: {line}"


# ---- waiting for the device ----

def test_a_batch_is_noted_without_waiting(base, tmp_path):
    "Meta tensors have no numbers: whoever asks for one fails."
    from custom_rm.model import RewardModel
    trainer = trainer_of(RewardModel(base, quantize=False, device="cpu").add_adapter("x"), tmp_path)
    rewards, scores = torch.zeros(2, 3, device="meta"), torch.zeros(2, 3, device="meta")
    trainer._note(dict(ranking_loss=torch.zeros((), device="meta")), rewards, scores)
    assert {name: value.device.type for name, value in trainer._sums.items()} == dict.fromkeys(["ranking_loss", "pairs", "right", "margins"], "meta")


def test_adapters_known_to_differ_are_not_compared_again(base, monkeypatch):
    from custom_rm.model import RewardModel
    rm = RewardModel(base, quantize=False, device="cpu").add_adapter("a").add_adapter("b").add_adapter("c")
    def matrix(name): return next(p for n, p in rm.trunk.named_parameters() if f"lora_B.{name}" in n)
    with torch.no_grad(): matrix("b").fill_(.1)
    calls, compare = [], RewardModel._equal_matrices
    monkeypatch.setattr(RewardModel, "_equal_matrices", lambda self, *names: calls.append(names) or compare(self, *names))
    assert rm.same_trunk(["a", "b", "c"]) == [["a", "c"], ["b"]] and calls == [("a", "b"), ("a", "c")]
    calls.clear()
    matrix("c").data.fill_(.3)  # unseen by any counter of versions, as bitsandbytes' optimizers are
    assert rm.same_trunk(["a", "b", "c"]) == [["a"], ["b"], ["c"]] and ("a", "b") not in calls
    rm.set_weights("b", rm.weights("a"))  # made equal: what was known of it is forgotten
    assert rm.same_trunk(["a", "b", "c"]) == [["a", "b"], ["c"]]


# ---- the script for the first GPU ----

def test_the_gpu_script_on_a_cpu(tmp_path):
    "With tiny shapes its rows are green, and the same command goes on where it was."
    words = [sys.executable, str(root / "bench" / "gpu.py"), "--device", "cpu", "--small", "--rows", "steps,trees,7b,float16", "--minutes", "3", "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert done.returncode == 0, f"{done.stdout}\n{(tmp_path / 'gpu.log').read_text()[-2000:]}"
    assert list(rows) == ["steps", "trees", "7b", "float16"] and all("result" in rows[name] for name in ("steps", "trees", "7b"))
    for row in rows.values(): assert {"device", "versions", "date", "seconds", "what"} <= row.keys() and row["device"].startswith("cpu")
    assert rows["trees"]["result"]["float32"]["trees"] and rows["float16"]["nothing"] == "a CPU trains nothing in float16"


def test_the_gpu_script_goes_on_after_failures(tmp_path, monkeypatch, capsys):
    "A failed row is kept with its reason, the next one runs; called again, what is done is passed over and what failed comes last."
    from types import SimpleNamespace
    monkeypatch.syspath_prepend(str(root / "bench"))
    import gpu
    order, broken = [], {"steps"}
    def fake(a, name, seconds):
        order.append(name)
        return dict(seconds=1., **(dict(failed="RuntimeError: no kernel") if name in broken else dict(result=dict(says="fine"))))
    monkeypatch.setattr(gpu, "run_row", fake)
    a = SimpleNamespace(out=str(tmp_path / "gpu.json"), rows=["check", "steps", "trees"], minutes=5, device="other", small=True, home=str(tmp_path))
    assert gpu.main(a) == 1 and order == ["check", "steps", "trees"]
    assert "steps            1.0 s  FAILED: RuntimeError: no kernel" in capsys.readouterr().out
    broken.clear(); order.clear()
    a.rows = ["check", "steps", "trees", "trl"]
    assert gpu.main(a) == 0 and order == ["trl", "steps"]  # a new row first
    a.rows, a.minutes = ["seeds"], 0
    assert gpu.main(a) == 0 and order == ["trl", "steps"] and "seeds" not in json.loads((tmp_path / "gpu.json").read_text())["rows"]


def test_a_row_that_dies_or_takes_too_long_is_a_failed_row(tmp_path, monkeypatch):
    "In processes of their own, so the script outlives them."
    code = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import gpu
from types import SimpleNamespace
gpu.ROWS = {"dies": (1, lambda a: os._exit(9)), "sleeps": (1, lambda a: time.sleep(60)), "fails": (1, lambda a: 1 / 0)}
a = SimpleNamespace(home=sys.argv[2], log=sys.argv[2] + "/log", device="cpu")
for name, seconds in (("dies", 60), ("sleeps", 1), ("fails", 240)): print(gpu.run_row(a, name, seconds)["failed"])
"""
    done = subprocess.run([sys.executable, "-c", code, str(root / "bench"), str(tmp_path)], capture_output=True, text=True, timeout=400)
    dies, sleeps, fails = done.stdout.splitlines()
    assert "code 9" in dies and sleeps.startswith("stopped after 1 s") and fails == "ZeroDivisionError: division by zero"


def test_tutorials_leave_the_torch_that_is_there():
    "On Colab a torch of another build would not fit the driver: the first cells ask for the package alone."
    for path in (root / "nbs" / "tutorials").glob("*.ipynb"):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        installs = [cell for cell in cells if '"pip"' in cell]
        assert len(installs) == 1 and "git+https" in installs[0], path.name
        for word in ("--upgrade", '"-U"', "torch>=", "index-url", "constraints.txt"): assert word not in installs[0], f"{path.name}: {word}"
