"""Ten reward models on one base: `python bench/many.py ARTEFACT` writes results/use/many.json.

The artefact is copied under ten names (memory and time don't depend on what the weights are). One process holds one of them, another all ten; each says how
much memory it took after loading, and how long the same texts took by one reward model and by all of its own.
"""
import argparse
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median


def resident_mb() -> float:
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) / 1024


def worker(folders: list[str], repetitions: int) -> dict:
    import ctypes
    from custom_rm.scoring import Scorer
    gc.collect(); ctypes.CDLL("libc.so.6").malloc_trim(0)
    scorer = Scorer.load(folders)
    gc.collect(); ctypes.CDLL("libc.so.6").malloc_trim(0)
    memory = resident_mb()
    texts = [f"## Human:\nQuestion number {i // 4}: how should one begin the day?\n\n## Assistant:\n{'Slowly, with ' * (i % 4 + 2)}tea." for i in range(32)]
    scorer.score(texts, names=scorer.names[:1])
    times = dict(one=[], all=[])
    for _ in range(repetitions):
        for key, names in (("one", scorer.names[:1]), ("all", scorer.names)):
            start = time.perf_counter(); scorer.score(texts, names=names); times[key].append(time.perf_counter() - start)
    return dict(models=len(folders), resident_mb=memory, seconds_one=times["one"], seconds_all=times["all"])


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("artefact", type=Path)
    p.add_argument("--models", type=int, default=10)
    p.add_argument("--repetitions", type=int, default=5)
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "use" / "many.json")
    p.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker: print("\n" + json.dumps(worker(a.worker, a.repetitions))); sys.exit()
    import torch
    from custom_rm.evaluate import write_report
    from custom_rm.core import versions
    from custom_rm.trunk import default_device, device_name
    with tempfile.TemporaryDirectory() as home:
        folders = [str(shutil.copytree(a.artefact, Path(home) / f"taste-{i}")) for i in range(a.models)]
        adapter = (a.artefact / "adapter_model.safetensors").stat().st_size / 2**20
        rows = []
        for some in (folders[:1], folders):
            done = subprocess.run([sys.executable, "-W", "ignore", __file__, str(a.artefact), "--repetitions", str(a.repetitions), "--worker", *some], capture_output=True, text=True)
            if done.returncode: sys.exit(done.stderr[-3000:])
            rows.append(json.loads(done.stdout.splitlines()[-1])); print(rows[-1])
    one, many = rows
    each = (many["resident_mb"] - one["resident_mb"]) / (a.models - 1)
    found = dict(models=a.models, adapter_mb=adapter, mb_each=each, mb_each_beside_adapter=each - adapter,
                 passes=median(x / y for x, y in zip(many["seconds_all"], many["seconds_one"])), rows=rows,
                 device=device_name(default_device()), versions=versions(), date=str(date.today()))
    a.out.parent.mkdir(parents=True, exist_ok=True); write_report(a.out, found)
    print({k: round(v, 2) for k, v in found.items() if isinstance(v, float)})
