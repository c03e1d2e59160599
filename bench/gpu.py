"""Everything that still has to run on a GPU, in order of worth: `python bench/gpu.py --minutes 10`.

Each row runs in a process of its own. After each, the JSON is written with device, versions and date; a row that fails is kept with its reason in one line, and
the next begins. The same command goes on where the JSON ends: rows that are done are passed over, rows that failed come last. `--device cpu --small` is the
same with tiny shapes, for testing this script. Where the base model can't be had, as on a machine without network, random weights of its shape stand in: memory
and speed don't depend on the weights, and the row says so.
"""
import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace

here = Path(__file__).parent
sys.path.insert(0, str(here))
python = [sys.executable, "-W", "ignore"]


# ---- what the rows share ----

def base_of(a) -> tuple[str, str]:
    "A base model and what to say of it; made once for all rows"
    from custom_rm.core import DataError, mini_dir
    from custom_rm.fetch import fetch_model
    made = Path(a.home) / ("tiny" if a.small else "shape")
    if not a.small and not made.is_dir():
        try: return str(fetch_model(a.base).path), a.base
        except (DataError, OSError) as e: print(f"{a.base}: {e}", flush=True)
    if not made.is_dir():
        rows = json.loads((mini_dir() / "domains.train.json").read_text(encoding="utf-8"))
        texts = [text for row in rows for text in (row["query"], *row["responses"].values())]
        if a.small:
            from custom_rm.tiny import tiny_base
            tiny_base(made, texts, hidden_size=64, vocab_size=1024)  # heads of 16, which FlexAttention wants on CUDA
        else: random_shape(made, texts)
    return str(made), "tiny, random weights" if a.small else "SmolLM2-135M's shape, random weights"


def random_shape(folder: Path, texts: list[str]) -> None:
    "SmolLM2-135M's shape with random weights, and a tokenizer that is made on the spot"
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from custom_rm.tiny import tiny_tokenizer
    tokenizer = tiny_tokenizer(texts, vocab_size=8192)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
        tie_word_embeddings=True, initializer_range=.04, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)).bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def model(a, **options):
    from custom_rm.model import RewardModel
    path, said = base_of(a)
    return RewardModel(path, device=a.device, max_length=256, **options).add_adapter("x"), said


def lists(n: int) -> list[dict]:
    from common import records
    return records("mini")[:n]


def tokens(rm, n: int):
    from datasets import Dataset, disable_progress_bars
    from custom_rm.packing import tokenize_records
    disable_progress_bars()
    return tokenize_records(Dataset.from_list([dict(text=r["text"], score=r["score"]) for r in lists(n)]), rm.tokenizer, rm.max_length)[0]


def lively(rm) -> None:
    "Adapters begin as nothing; these have something to say"
    import torch
    with torch.no_grad():
        for i, p in enumerate(p for p in rm.parameters() if p.requires_grad): p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)) * (.05 if p.shape[0] > 1 else .3 / p.shape[1] ** .5))


def way(rm) -> dict: return dict(trees=rm.trees, attention=rm.way, why=rm.why_way or rm.why, dtype=str(rm.dtype).removeprefix("torch."), notes=rm.notes)


def peak(a) -> float:
    import common
    return round(common.peak(a), 3)


def needs(fact: bool, why: str) -> None:
    if not fact: raise Nothing(why)


class Nothing(Exception): "A row that has nothing to do on this machine"


def three_steps(a, folder: str, **options) -> dict:
    "Three optimizer steps as the quickstart takes them: four lists of five a step"
    from custom_rm.trainer import RewardTrainer, training_arguments
    from transformers import PrinterCallback
    rm, said = model(a, **options)
    args = training_arguments(Path(a.home) / folder, rm, 3, learning_rate=1e-3, batch_size=4, save_strategy="no")
    trainer = RewardTrainer(rm, args, tokens(rm, 12), budget=2048)
    trainer.remove_callback(PrinterCallback)
    begun = time.time()
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    return dict(base=said, **way(rm), seconds=round(time.time() - begun, 2), loss=[round(line["loss"], 4) for line in lines], skipped=[line.get("skipped_steps", 0) for line in lines], peak_gib=peak(a))


# ---- the rows ----

def check(a) -> dict:
    "The user's own look: what `custom-rm check` says of this machine and base"
    done = subprocess.run([*python, "-m", "custom_rm.cli", "check", "--device", a.device], capture_output=True, text=True)
    if done.returncode: raise RuntimeError((done.stdout or done.stderr).strip().splitlines()[-1])
    lines = done.stdout.strip().splitlines()
    return dict(lines=lines, says=next(line for line in lines if line.startswith("chosen")))


def steps(a) -> dict:
    "Three training steps of the quickstart's kind, in four bits"
    found = three_steps(a, "steps")
    return found | dict(says=f"{found['attention']}, {found['dtype']}, loss {found['loss'][0]:.3f} → {found['loss'][-1]:.3f}, {found['seconds']:.1f} s, {found['peak_gib']:.2f} GiB")


def trees(a) -> dict:
    "Lists in trees against each text alone: rewards and gradients, in float32 and in the device's precision"
    import torch
    found = {}
    for dtype in dict.fromkeys(["float32", None if a.device != "cpu" else "bfloat16"]):
        rm, said = model(a, quantize=False, dtype=dtype)
        needs(rm.trees, f"no trees: {rm.why}")
        lively(rm.eval())
        data = list(tokens(rm, 4))
        def rewards_of(in_trees: bool):
            "Rewards, and the gradient of a weighted sum of them"
            rm.trees, rewards, grads = in_trees, [], None
            rm.zero_grad()
            for i, record in enumerate(data):
                for given in ([record] if in_trees else [dict(input_ids=[ids]) for ids in record["input_ids"]]):
                    with torch.autocast(rm.device.type, rm.dtype, enabled=rm.dtype != torch.float32): r = rm(**rm.batch([given]))["rewards"]
                    start = len(rewards)
                    weights = torch.cos(torch.arange(start, start + len(r), device=r.device, dtype=torch.float32))  # any that differ
                    (r * weights).sum().backward()
                    rewards += r.detach().tolist()
            return torch.tensor(rewards), torch.cat([p.grad.flatten().float().cpu() for p in rm.parameters() if p.grad is not None])
        (apart, by_hand), (together, by_tree) = rewards_of(False), rewards_of(True)
        rm.trees = True
        error, slope = float((together - apart).abs().max() / apart.std()), float((by_tree - by_hand).norm() / by_hand.norm())
        found[str(rm.dtype).removeprefix("torch.")] = dict(way(rm), rewards=error, gradients=slope)
        limit = 1e-2 if rm.dtype == torch.float32 else .5
        if not (error < limit and slope < limit): raise RuntimeError(f"{rm.dtype}: rewards differ by {error:.2g} of their spread, gradients by {slope:.2g}; limit {limit} ({way(rm)['attention']})")
    return dict(base=said, **found, says="; ".join(f"{d} ({f['attention']}): rewards within {f['rewards']:.0e} of their spread, gradients {f['gradients']:.0e}" for d, f in found.items()))


def shape7b(method: str, cap: float = 8):
    def row(a) -> dict:
        import llama7b
        b = SimpleNamespace(device=a.device, small=int(a.small), cap_gib=cap, max_length=64 if a.small else 512, repetitions=1 if a.small else 3)
        try: found = llama7b.main(b, method)
        except Exception as e:
            if "memory" not in str(e).lower(): raise
            return dict(does_not_fit=str(e).splitlines()[0][:200], cap_gib=cap, says=f"does not fit under {cap:g} GiB")
        rows = found["rows"]
        seconds = sum(r["seconds"] for r in rows) / len(rows)
        return dict(found, cap_gib=cap, says=f"{found['way']}: {seconds:.2f} s per step of 8 comparisons, {max(r['peak_gib'] for r in rows):.2f} GiB")
    said = {"trees": "trees", "frozen": "trees above 24 frozen layers whose states are kept", "padded-pairs": "padded pairs"}[method]
    row.__doc__ = f"A 7B LLaMA shape in NF4, lists of five at length 512, {said}, under a cap of {cap:g} GiB"
    return row


def trl(a) -> dict:
    "Trees against TRL in one run: the package's own lists, the same comparisons in turn"
    from statistics import median
    path, said = base_of(a)
    out = Path(a.home) / "trl.json"
    size = ["--lists", "2", "--repetitions", "1"] if a.small else ["--lists", "8", "--repetitions", "4"]
    done = subprocess.run([*python, str(here / "train.py"), "--set", "mini", "--base", path, "--device", a.device, *size, "--only", "trl", "trees", "--out", str(out)], capture_output=True, text=True)
    if done.returncode: raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    speed = {m: [r["comparisons"] / r["seconds"] for r in rs] for m, rs in rows.items()}
    ratio = median(t / o for t, o in zip(speed["trees"], speed["trl"]))
    return dict(base=said, rows=rows, ratio=round(ratio, 2), says=f"{ratio:.2f} × TRL; {max(r['peak_gib'] for r in rows['trees']):.2f} GiB against {max(r['peak_gib'] for r in rows['trl']):.2f}")


def published(a) -> dict:
    "A published reward model as the start: a classifier with a head of its own, loaded in four bits, scores as its own class does"
    import torch
    from transformers import AutoModelForSequenceClassification as Classifier, AutoTokenizer, BitsAndBytesConfig
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_tokens
    from custom_rm.trunk import default_dtype
    (path, said), folder = base_of(a), Path(a.home) / "published"
    torch.manual_seed(0)
    Classifier.from_pretrained(path, num_labels=1, dtype=torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained(path).save_pretrained(folder)
    rm = RewardModel(folder, start=True, device=a.device, max_length=256)
    ids = [rm.tokenizer(text)["input_ids"][-256:] for r in lists(6) for text in r["text"]]
    if not rm.adapters: rm.add_adapter("own")
    ours = torch.tensor(score_tokens(rm, ids))
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=default_dtype(torch.device(a.device)), llm_int8_skip_modules=["score"])
    own = Classifier.from_pretrained(folder, dtype=default_dtype(torch.device(a.device)), quantization_config=bits, device_map={"": a.device}).eval()
    with torch.no_grad(): theirs = torch.tensor([own(input_ids=torch.tensor([row], device=a.device)).logits.item() for row in ids], dtype=ours.dtype)
    error = float((ours - theirs).abs().max() / theirs.std())
    if not error < (1e-2 if rm.dtype == torch.float32 else .5): raise RuntimeError(f"rewards differ by {error:.2g} of their spread")
    return dict(base=said, **way(rm), error=error, says=f"rewards within {error:.0e} of their spread ({way(rm)['attention']}, {rm.dtype})")


def half(a) -> dict:
    "float16, as on a T4: three steps, none left out, the loss of the device's own precision"
    needs(a.device != "cpu", "a CPU trains nothing in float16")
    found, own = three_steps(a, "half", dtype="float16"), three_steps(a, "own")
    if abs(found["loss"][0] / own["loss"][0] - 1) > .05 or any(found["skipped"]): raise RuntimeError(f"losses {found['loss']} against {own['loss']}, left out {found['skipped']}")
    return found | dict(own=own["loss"], says=f"{found['attention']}, loss {found['loss']} against {own['loss']} in {own['dtype']}, nothing left out")


def seeds(a) -> dict:
    "Two seeds one after the other: no trunk stays in memory"
    import gc
    import torch
    from custom_rm.core import mini_dir
    from custom_rm.model import LoRA, RewardModel
    from custom_rm.recipes import BaseConfig, CustomConfig, GeneralConfig, Recipe
    from custom_rm.runs import run_recipe
    path, said = base_of(a)
    general = GeneralConfig(train={"mini": str(mini_dir() / "general.train.json")}, test={"mini": str(mini_dir() / "general.test.json")}, rows=8, test_rows=8)
    held = []
    for seed in (0, 1):
        run_recipe(Recipe("seeds", BaseConfig(path, max_length=256), LoRA(4, 8), general, CustomConfig(), seeds=[seed]), Path(a.home) / f"seed-{seed}", a.device, lambda line: print(line, flush=True))
        gc.collect()
        if a.device != "cpu": torch._C._cuda_clearCublasWorkspaces()  # 32 MiB for each thread and library on Hopper, and no model's
        held.append(torch.cuda.memory_allocated() / 2**20 if a.device != "cpu" else 0.)
    models = sum(isinstance(o, RewardModel) for o in gc.get_objects())
    if models or held[1] - held[0] > 16: raise RuntimeError(f"{models} models are still there; {held[0]:.0f} MiB after one seed, {held[1]:.0f} after two")
    return dict(base=said, models=models, held_mib=[round(h, 1) for h in held], says=f"{models} models; {held[0]:.0f} MiB after one seed, {held[1]:.0f} after two")


def several(a) -> dict:
    "Several GPUs: DDP by torchrun against one process (curves, evaluation, save, resume)"
    import torch
    needs(a.device != "cpu" and torch.cuda.device_count() > 1, "there is one GPU here")
    from custom_rm.tiny import tiny_base
    home, script = Path(a.home) / "ddp", str(here.parent / "tests" / "two_processes.py")
    tiny_base(home / "tiny", hidden_size=64)
    curves = []
    for launch in ([], ["-m", "torch.distributed.run", "--nproc_per_node", "2"]):
        done = subprocess.run([*python, *launch, script, str(home), "cuda"], capture_output=True, text=True)
        if done.returncode: raise RuntimeError(done.stderr.strip().splitlines()[-1])
        curves.append(json.loads((home / "curves.json").read_text())["True"])
    one, two = ([line[0] for line in c["resumed"] if line[0] is not None] for c in curves)
    apart = max(abs(x / y - 1) for x, y in zip(one, two))
    if apart > .05: raise RuntimeError(f"losses {two} against {one}")
    return dict(losses=[one, two], says=f"losses within {apart:.1%} of one process")


def study(a) -> dict:
    "The study's grid in four bits, three seeds; six processes share the card, and what they leave waits for the next time"
    from custom_rm.core import recipe_path
    from custom_rm.study import read_study
    needs(not a.small, "only at full size")
    run = [*python, "-m", "custom_rm.cli", "study", "dsp", "--device", a.device, "--out", "runs/study-dsp", "--retry"]
    minutes = max(.5, a.left / 60 - 1.5)  # a cell that has begun is ended by `run_row`'s own limit; the join comes after
    logs = [open(Path(a.home) / f"study-{k}.txt", "w") for k in range(1, 7)]
    parts = [subprocess.Popen([*run, "--part", f"{k}/6", "--budget-minutes", f"{minutes:.2f}"], stdout=log, stderr=log) for k, log in enumerate(logs, 1)]
    end = time.time() + 60 * minutes
    for part in parts:
        try: part.wait(max(1, end - time.time()))
        except subprocess.TimeoutExpired: part.terminate(); part.wait()
    done = subprocess.run([*run, "--budget-minutes", "0", "--json", "results/study/decoder.json"], capture_output=True, text=True)
    cells = [cell for cell in Path("runs/study-dsp/cells").glob("*.json") if "failed" not in json.loads(cell.read_text(encoding="utf-8"))]
    whole = len(read_study(recipe_path("dsp", "study")).cells())
    if len(cells) < whole:  # not done: the next time goes on
        why = (done.stderr or Path(logs[0].name).read_text()).strip().splitlines()
        raise RuntimeError(f"{len(cells)} of {whole} cells are there; the same command goes on" + (f" ({why[-1]})" if why and not cells else ""))
    return dict(cells=whole, last=done.stdout.strip().splitlines()[-30:], says=f"all {whole} cells are there; written: results/study/decoder.json")


def command(what: str, *words: str, out: str | None = None):
    "A row that is one of the repository's own commands at full size"
    def row(a) -> dict:
        needs(not a.small, "only at full size")
        done = subprocess.run(["bash", "-c", " && ".join(words)], capture_output=True, text=True, env=os.environ | dict(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"))
        if done.returncode: raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
        return dict(command=list(words), last=done.stdout.strip().splitlines()[-12:], says=f"written: {out}" if out else done.stdout.strip().splitlines()[-1][:80])
    row.__doc__ = what
    return row


ROWS = {  # name → (minutes on a data-centre GPU, what it does); in order of worth
    "check": (1, check), "steps": (1, steps), "trees": (2, trees), "7b": (2, shape7b("trees")), "trl": (3, trl), "published": (1, published),
    "float16": (1, half), "7b-frozen": (2, shape7b("frozen")), "7b-pairs": (2, shape7b("padded-pairs")), "seeds": (1, seeds), "gpus": (2, several),
    "tests": (2, command("FlexAttention against SDPA on trees, and the tests of this page", "python -m pytest -q -p no:cacheprovider tests/test_trees.py tests/test_gpu_path.py")),
    "quickstart": (3, command("The quickstart's matrix in four bits", "custom-rm quickstart --device cuda --out runs/quickstart-cuda", out="runs/quickstart-cuda/metrics.json")),
    "train-dsp": (4, command("Training against TRL, DSP lists", "python bench/train.py --set dsp --device cuda --lists 24", "python bench/train.py --set dsp --device cuda --lists 24 --draw grouped", out="results/speed/train-dsp-cuda.json")),
    "cached": (4, command("Above frozen layers whose states are kept, against TRL, DSP lists", "python bench/train.py --set dsp --device cuda --lists 24 --steps 3", out="results/speed/train-dsp-cached-cuda.json")),
    "tiers": (12, command("How right each tier is on DSP: heads, LoRA above frozen layers, LoRA on all", "python bench/tiers.py --device cuda --seeds 0 1 2 --budget 16384 --out results/study/tiers-cuda.json", out="results/study/tiers-cuda.json")),
    "score": (3, command("Scoring five DSP sets against TRL", "python bench/score.py --device cuda --queries 20", out="results/speed/score-dsp5-cuda.json")),
    "train-hh": (6, command("Training against TRL, HH pairs", "python bench/train.py --set hh --device cuda --lists 96", "python bench/train.py --set hh --device cuda --lists 96 --draw grouped", out="results/speed/train-hh-cuda.json")),
    "train-webgpt": (5, command("Training against TRL, WebGPT pairs", "python bench/train.py --set webgpt --device cuda --lists 48", "python bench/train.py --set webgpt --device cuda --lists 48 --draw grouped", out="results/speed/train-webgpt-cuda.json")),
    "inside": (4, command("Each step from pairs to trees, DSP lists", "python bench/train.py --set dsp --device cuda --lists 24 --steps 1", "python bench/train.py --set dsp --device cuda --lists 24 --steps 2", out="results/speed/train-dsp-steps-cuda.json")),
    "7b-pairs-12": (2, shape7b("padded-pairs", 12)),
    "summary": (1, command("The summary and the figures with their CUDA twins", "python bench/summary.py", out="results/speed/summary.json")),
    "study": (25, study),
}


# ---- running them ----

def work(a, name: str, out: str) -> None:
    "A row's process: its result as JSON into a file, its chatter into the log"
    log = os.open(a.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1); os.dup2(log, 2)
    print(f"\n== {name}", flush=True)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try: found = dict(result=ROWS[name][1](a))
    except Nothing as e: found = dict(nothing=str(e))
    except BaseException as e:
        import traceback
        traceback.print_exc()
        found = dict(failed=f"{type(e).__name__}: {' '.join(str(e).split())}".replace(a.home, "…")[:300])
    try:
        import torch
        from custom_rm.core import versions
        from custom_rm.trunk import device_name
        found |= dict(device=device_name(a.device), versions=versions())
    except Exception as e: found |= dict(device=f"{a.device}: {e}"[:120])
    Path(out).write_text(json.dumps(found), encoding="utf-8")


def run_row(a, name: str, seconds: float) -> dict:
    "A row in a process of its own: forked on a CPU, where the libraries are loaded once; fresh where there is CUDA, which does not survive a fork"
    out = Path(a.home) / f"{name}.row.json"
    out.unlink(missing_ok=True)
    begun = time.time()
    a.left = seconds
    process = multiprocessing.get_context("fork" if a.device == "cpu" else "spawn").Process(target=work, args=(a, name, str(out)))
    process.start(); process.join(max(1, seconds))
    if process.is_alive():
        process.kill(); process.join()
        found = dict(failed=f"stopped after {time.time() - begun:.0f} s, when the minutes were over")
    elif out.exists(): found = json.loads(out.read_text(encoding="utf-8"))
    else: found = dict(failed=f"its process ended with code {process.exitcode}; too little memory?")
    return dict(what=ROWS[name][1].__doc__, seconds=round(time.time() - begun, 1), date=str(date.today()), **found)


def write(path: Path, rows: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(dict(rows=rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def line(name: str, row: dict | None) -> str:
    if row is None: return f"{name:13} open"
    said = row["result"]["says"] if "result" in row else f"nothing to do: {row['nothing']}" if "nothing" in row else f"FAILED: {row['failed']}"
    return f"{name:13} {row['seconds']:6.1f} s  {said}"


def main(a) -> int:
    path = Path(a.out)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    chosen = [name for name in ROWS if not a.rows or name in a.rows]
    todo = sorted((name for name in chosen if "failed" in rows.get(name, {}) or name not in rows), key=lambda name: name in rows)
    for name in chosen:
        if name not in todo: print(f"{name:13} is there already", flush=True)
    a.log, end = str(path.with_suffix(".log")), time.time() + 60 * a.minutes
    path.parent.mkdir(parents=True, exist_ok=True)
    if a.device == "cpu": import custom_rm.cli, custom_rm.runs, bitsandbytes, peft  # noqa: E401, once for all rows
    for name in todo:
        left = end - time.time()
        if left < (5 if a.small else 30 * min(ROWS[name][0], 2)): print(f"{name:13} waits: {left:.0f} s are left", flush=True); continue
        rows[name] = run_row(a, name, left)
        write(path, rows)
        print(line(name, rows[name]), flush=True)
    print(f"\n{path.name}: " + ", ".join(f"{sum(key in rows.get(n, {}) for n in chosen)} {word}" for key, word in (("result", "done"), ("nothing", "with nothing to do here"), ("failed", "failed"))) + f", {sum(n not in rows for n in chosen)} open")
    for name in chosen: print(line(name, rows.get(name)))
    return int(any("failed" in rows.get(name, {}) for name in chosen))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--device", default="cuda", help="cuda or cpu")
    p.add_argument("--small", action="store_true", help="tiny shapes: the same code in minutes on a CPU")
    p.add_argument("--rows", type=lambda words: words.split(","), help=f"only these, with commas between; all of {', '.join(ROWS)} if not given")
    p.add_argument("--base", default="smollm2-135m", help="base model, or a folder")
    p.add_argument("--out", default=str(here.parent / "results" / "speed" / "gpu.json"))
    a = p.parse_args()
    if unknown := set(a.rows or ()) - set(ROWS): p.error(f"no row {min(unknown)}; there are {', '.join(ROWS)}")
    with tempfile.TemporaryDirectory() as a.home: raise SystemExit(main(a))
