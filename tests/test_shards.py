"Beyond one machine: a file scored by many processes and by Ray's workers, a study in parts; killed, torn, and changed in between."
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]


def question(i): return f"What is {i} plus one?"


@pytest.fixture(scope="module")
def judge(home):
    "An artefact with random opinions, and 1,030 rows for it in three blocks"
    import torch
    from custom_rm.model import RewardModel
    rm = RewardModel(home / "tiny", False, device="cpu").add_adapter("judge")
    torch.manual_seed(0)
    for p in rm.parameters():
        if p.requires_grad: p.data.copy_(torch.randn(p.shape) * .3)
    rm.save(home / "judge")
    rows = [json.dumps(dict(prompt=question(i), response="Ten.")) for i in range(1030)]
    (home / "many.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return home / "judge"


@pytest.fixture(scope="module")
def alone(home, judge, custom_rm):
    "The file that one process writes"
    done = custom_rm("score", judge, home / "many.jsonl", "--out", home / "alone.jsonl", "--device", "cpu")
    assert done.returncode == 0 and "1030 rows written" in done.stdout and "before" not in done.stdout, done.stderr
    return (home / "alone.jsonl").read_bytes()


def left(out): return sorted(p.name for p in out.parent.glob(f".{out.name}*"))


def test_one_process_is_as_ever(home, judge, alone):
    "Through parts, the rows are those of `score_file`"
    from custom_rm.scoring import Scorer, score_file
    score_file(Scorer.load(judge, "cpu"), home / "many.jsonl", home / "plain.jsonl")
    assert (home / "plain.jsonl").read_bytes() == alone and not left(home / "alone.jsonl")


def test_two_processes_write_what_one_writes(home, judge, alone, tmp_path):
    words = ["-m", "custom_rm.cli", "score", judge, home / "many.jsonl", "--out", tmp_path / "out.jsonl", "--device", "cpu"]
    done = subprocess.run([*launcher, *map(str, words)], capture_output=True, text=True, timeout=300, env=dict(os.environ, PYTHONPATH=str(root)))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("1030 rows written") == 1 and not left(tmp_path / "out.jsonl")
    ours, theirs = ([json.loads(line) for line in text.splitlines()] for text in ((tmp_path / "out.jsonl").read_bytes(), alone))
    assert [row["text"] for row in ours] == [row["text"] for row in theirs] and [row["record"] for row in ours] == list(range(1, 1031))
    assert (tmp_path / "out.jsonl").read_bytes() == alone


def test_killed_and_continued(home, judge, alone, custom_rm, stopped_at, tmp_path):
    "Killed when the second part would appear; the first is kept, and a torn one is made again"
    out = tmp_path / "out.jsonl"
    killed = stopped_at("SIGKILL", "appears", r"000001-[^/]*\.jsonl$", 1, "score", judge, home / "many.jsonl", "--out", out, "--device", "cpu")
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    (first,) = (tmp_path / ".out.jsonl.parts").glob("0*.jsonl")
    assert len(first.read_text().splitlines()) == 512
    os.utime(first, (0, 0))  # a process's start is known to the second
    shutil.copytree(tmp_path / ".out.jsonl.parts", tmp_path / ".torn.jsonl.parts")
    (tmp_path / ".torn.jsonl.parts" / first.name).write_bytes(first.read_bytes()[:-9])
    done = custom_rm("score", judge, home / "many.jsonl", "--out", out, "--device", "cpu")
    assert "1030 rows written" in done.stdout and "512 of them scored before" in done.stdout and out.read_bytes() == alone, done.stderr
    done = custom_rm("score", judge, home / "many.jsonl", "--out", tmp_path / "torn.jsonl", "--device", "cpu")
    assert "scored before" not in done.stdout and (tmp_path / "torn.jsonl").read_bytes() == alone and not left(out)


def test_other_rows_or_another_model_are_scored_again(home, judge, alone, tmp_path):
    from custom_rm.scoring import Scorer, score_file, score_together
    import torch
    scorer, source, out = Scorer.load(judge, "cpu"), tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [dict(prompt=question(i), response=f"It is {i + 1}.") for i in range(12)]
    def write(): source.write_text("\n".join(map(json.dumps, rows)))
    def parts(): return sorted(p.name for p in (tmp_path / ".out.jsonl.parts").glob("0*.jsonl"))
    write()
    score_together(scorer, source, out, block=4, rank=1)
    made = parts()
    rows[5]["response"] = "No idea."
    write()
    score_together(scorer, source, out, block=4, rank=1)
    assert len(made) == 3 and len(parts()) == 4, "one block of three is another"
    for p in scorer.rm.parameters():
        if p.requires_grad: torch.nn.init.normal_(p)
    score_together(scorer, source, out, block=4, rank=1)
    assert len(parts()) == 7, "another model shares nothing"
    rows.pop(0)
    write()
    assert score_together(scorer, source, out, block=4) == (11, 0) and not left(out)
    score_file(scorer, source, tmp_path / "plain.jsonl", block=4)
    assert out.read_bytes() == (tmp_path / "plain.jsonl").read_bytes()


@pytest.mark.parametrize("ending", ["jsonl.gz", "arrow", "parquet"])
def test_every_kind_of_file(home, judge, tmp_path, ending):
    from custom_rm.scoring import Scorer, score_file, score_together
    scorer, source = Scorer.load(judge, "cpu"), tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps(dict(prompt=question(i), response=f"Ä {i}")) for i in range(9)))
    score_file(scorer, source, tmp_path / f"plain.{ending}", block=4)
    score_together(scorer, source, tmp_path / f"out.{ending}", block=4, rank=3)
    assert score_together(scorer, source, tmp_path / f"out.{ending}", block=4) == (9, 0)
    assert (tmp_path / f"plain.{ending}").read_bytes() == (tmp_path / f"out.{ending}").read_bytes()


def test_the_first_process_does_the_work_of_one_that_died(home, judge, tmp_path):
    "Another process holds a block and is killed: the first one waits, and then scores the block itself"
    from custom_rm.scoring import Scorer, _parts, score_together
    scorer, source, out = Scorer.load(judge, "cpu"), tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps(dict(prompt=question(i), response="Hm.")) for i in range(8)))
    held = _parts(scorer, source, tmp_path / ".out.jsonl.parts", 4, (), True, lambda: True)[0].with_suffix(".lock")
    code = f"import time; from custom_rm.core import alone\nwith alone({str(held)!r}): print('in', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)})
    other.stdout.readline()
    assert score_together(scorer, source, out, block=4, rank=1) is None
    assert [p.name[:6] for p in (tmp_path / ".out.jsonl.parts").glob("0*.jsonl")] == ["000001"], "the block at work is left to the other"
    timer = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(1); os.kill({other.pid}, 9)"])
    start = time.time()
    assert score_together(scorer, source, out, block=4) == (8, 0) and time.time() - start > .3 and not left(out)
    assert score_together(scorer, source, out, block=4, rank=1) is None and not left(out), "who comes too late makes nothing anew"
    for process in (other, timer): process.wait()
    other.stdout.close()


def test_a_faulty_row_and_no_out(home, judge, custom_rm, tmp_path, monkeypatch):
    (tmp_path / "bad.jsonl").write_text(json.dumps(dict(prompt="Hi", response="Ho")) + "\n" + json.dumps(dict(prompt="Hi")))
    bad = custom_rm("score", judge, tmp_path / "bad.jsonl", "--out", tmp_path / "out.jsonl", "--device", "cpu")
    assert bad.returncode == 2 and "line 2" in bad.stderr and bad.stderr.count("\n") == 1 and not left(tmp_path / "out.jsonl")
    monkeypatch.setenv("WORLD_SIZE", "2")
    alone = custom_rm("score", judge, home / "many.jsonl", "--device", "cpu", env=dict(os.environ))
    assert alone.returncode == 2 and "only with --out" in alone.stderr and alone.stderr.count("\n") == 1


RAY = """
import sys
import ray
from custom_rm.scoring import BatchScorer
if __name__ == "__main__":
    artefact, source, target = sys.argv[1:]
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print("started", flush=True)
    data = ray.data.read_parquet(source).map_batches(BatchScorer, fn_constructor_args=[artefact, "cpu"], batch_size=8,
        compute=ray.data.ActorPoolStrategy(size=2))
    data.write_parquet(target)
"""


def test_ray(home, judge, tmp_path):
    "Two workers of a local cluster, Parquet in and out; the rewards are those of a `Scorer`"
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'custom_rm[ray]'")
    import pyarrow as pa
    import pyarrow.parquet as pq
    from custom_rm.scoring import Scorer
    rows = [dict(id=i, prompt=question(i), responses=[f"It is {i + 1}.", "No idea."][:1 + i % 2]) for i in range(32)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    (tmp_path / "work.py").write_text(RAY)
    # jsonschema, where its checks of addresses are installed, compiles a grammar for seconds, in each of Ray's own processes
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "rfc3987_syntax.py").write_text("raise ImportError")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path / 'stub'}:{root}", "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run([sys.executable, str(tmp_path / "work.py"), str(judge), str(tmp_path / "in.parquet"), str(tmp_path / "out")],
                          capture_output=True, text=True, timeout=300, env=env)
    if "started" not in done.stdout: pytest.skip(f"no Ray cluster starts on this machine: {done.stderr.strip().splitlines()[-1][:200]}")
    assert done.returncode == 0, done.stderr[-2000:]
    table = pq.read_table(tmp_path / "out")
    assert str(table.schema.field("rewards").type).startswith("list") and str(table.schema.field("responses").type).startswith("list")
    scored, scorer = sorted(table.to_pylist(), key=lambda row: row["id"]), Scorer.load(judge, "cpu")
    assert [row["responses"] for row in scored] == [row["responses"] for row in rows]
    for row in scored: assert row["rewards"] == pytest.approx(scorer.score(prompt=row["prompt"], responses=row["responses"]), abs=1e-4)


def test_a_batch_of_texts_and_of_lists(home, judge):
    "Without Ray: one text each, lists, several models, nothing at all"
    import numpy as np
    from custom_rm.scoring import BatchScorer
    shutil.copytree(judge, home / "second", dirs_exist_ok=True)
    both = BatchScorer([judge, home / "second"], "cpu")
    text = f"## Human:\n{question(3)}\n\n## Assistant:\nIt is 4."
    one = both(dict(text=np.array([text, text])))
    assert list(one) == ["text", "reward_judge", "reward_second"] and one["reward_judge"].dtype == float
    several = both(dict(prompt=np.array([question(3)]), responses=np.array([np.array(["It is 4."], object)], object)))
    assert list(several["rewards_judge"][0]) == pytest.approx([one["reward_judge"][0]], abs=1e-5) and isinstance(several["responses"][0], list)
    assert both(dict(text=np.array([], object)))["reward_judge"].shape == (0,)


STUDY = """
name: parts
recipe:
  base: {{name: {home}/tiny, quantize: false, max_length: 64}}
  lora: {{rank: 4, alpha: 8}}
  general: {{train: {{sums: {home}/general.train.json}}, test: {{sums: {home}/general.test.json}}, rows: 24, learning_rate: 5e-3, batch_size: 8}}
  custom: {{domains: [loud, quiet], train: {home}/domains.train.json, test: {home}/domains.test.json, rows: 24, learning_rate: 5e-3, batch_size: 8, epochs: 1, sharing: apart, replay: 0, blend: 1}}
  validation: 0.2
strategies:
  general: {{measure: general}}
  plain:
"""


@pytest.fixture(scope="module")
def study(home):
    (home / "parts.yaml").write_text(STUDY.format(home=home))
    return home / "parts.yaml"


def test_parts_share_out_all_cells(study):
    from custom_rm.study import part_cells, read_study, training_of
    s = read_study(study)
    s.seeds[:] = [0, 1]
    for n in (1, 3, 40):
        shares = [part_cells(s, s.cells(), (k, n)) for k in range(1, n + 1)]
        assert sorted(sum(shares, [])) == sorted(s.cells())
        homes = [{training_of(s, cell) for cell in share} for share in shares]
        assert sum(map(len, homes)) == len(set().union(*homes)), "a training belongs to one part"


def test_a_part_and_a_hasty_join(home, study, custom_rm, tmp_path):
    "At once, in one folder: each stage is trained once, each cell measured once, and the join has all of them"
    def begin(*part):
        words = ["study", study, "--out", tmp_path / "out", *part, "--device", "cpu"]
        return subprocess.Popen([sys.executable, "-m", "custom_rm.cli", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONPATH=str(root)))
    both = [begin("--part", "1/2"), begin()]
    (part, _), (join, _) = said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "3 of its 3 cells are there, of 4 in the study" in part and "recommended" not in part
    files = list((tmp_path / "out" / "cells").iterdir())
    assert len(files) == 4 and all(p.suffix == ".json" and "failed" not in json.loads(p.read_text()) for p in files)
    log = (tmp_path / "out" / "log.txt").read_text()
    for stage in ("general", "loud", "quiet"): assert len(re.findall(rf"{stage} +\d+ records, ", log)) == 1, f"{stage} was trained once"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["missing"] == []
    again = custom_rm("study", study, "--out", tmp_path / "out", "--part", "2/2", "--device", "cpu")
    assert again.returncode == 0 and "1 of its 1 cells" in again.stdout and "cell " not in again.stdout, again.stderr


def test_wrong_parts(study, custom_rm, tmp_path):
    for part in ("0/16", "17/16", "x", "3/0"):
        done = custom_rm("study", study, "--out", tmp_path / "out", "--part", part)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "K/N" in done.stderr, done.stderr
    done = custom_rm("study", study, "--out", tmp_path / "out", "--part", "40/40", "--device", "cpu")
    assert done.returncode == 0 and "0 of its 0 cells" in done.stdout, done.stderr
