"Two processes on one global batch give the loss curve and the weights of one."
import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize("uneven", [False, True], ids=["shared out", "one process with nothing to do"])
def test_two_processes_are_one(home, tmp_path, uneven):
    import yaml
    recipe = yaml.safe_load((home / "recipe.yaml").read_text())
    recipe["general"].update(rows=32, imitation=.1, token_budget=4096 if uneven else 60)  # one batch a step leaves the other process idle
    recipe["custom"] = {}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    curves, logged = {}, {}
    for n in (1, 2):
        out = tmp_path / str(n)
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0", "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"] if n == 2 else [sys.executable]
        done = subprocess.run([*launch, "-m", "custom_rm.cli", "train", str(tmp_path / "r.yaml"), "--out", str(out), "--device", "cpu"], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        card = json.loads((out / "general" / "reward_model.json").read_text())
        logged[n] = [[line[name] for line in card["history"] if "loss" in line] for name in ("ranking_loss", "imitation_loss", "accuracy", "margin")]
        curves[n] = [line["loss"] for line in card["history"] if "loss" in line], json.loads((out / "metrics.json").read_text())["rms"]["general"]["sums"]
    assert len(curves[1][0]) == len(curves[2][0]) >= 8
    assert curves[2][0] == pytest.approx(curves[1][0], rel=1e-3, abs=1e-5)
    for two, one in zip(logged[2], logged[1]): assert two == pytest.approx(one, rel=1e-3, abs=1e-5)  # of all processes, not of the first
    assert curves[2][1]["margin"] == pytest.approx(curves[1][1]["margin"], rel=1e-2)
