"Ctrl-C and SIGTERM: the promised line, the customary exit code, nothing half-written, and the same command goes on."
import json
import re
import signal
import subprocess
import sys

import pytest

LINE = "custom-rm: stopped; the same command goes on from here\n"
CODES = dict(SIGINT=130, SIGTERM=143)


@pytest.mark.parametrize("name", CODES)
def test_train(home, custom_rm, stopped_at, name):
    folder = home / f"stopped-{name}"
    command = "train", home / "recipe.yaml", "--out", folder, "--device", "cpu"
    stopped = stopped_at(name, "notes", "stage=general .*step=1[2-9]", 1, *command)
    assert (stopped.returncode, stopped.stderr) == (CODES[name], LINE), stopped.stderr
    assert not (folder / "general").exists() and not list(folder.rglob("*.tmp"))
    done = custom_rm(*command)
    assert done.returncode == 0 and "general   goes on at checkpoint" in done.stdout, done.stderr


def test_study(home, custom_rm, stopped_at):
    study = f"name: few\nrecipe: {{base: {{name: {home}/tiny, quantize: false, max_length: 64}}, general: {{train: {{sums: {home}/general.train.json}}, rows: 12}}, " \
            f"custom: {{domains: [loud], train: {home}/domains.train.json, test: {home}/domains.test.json, rows: 12, epochs: 1, replay: 0, blend: 1}}, validation: 0.2}}\nstrategies: {{base: {{measure: base}}, general: {{measure: general}}, plain: }}\n"
    (home / "few.yaml").write_text(study)
    folder = home / "stopped-study"
    stopped = stopped_at("SIGINT", "appears", r"cells/[^/]*\.json$", 2, "study", home / "few.yaml", "--out", folder, "--device", "cpu")
    assert (stopped.returncode, stopped.stderr) == (130, LINE), stopped.stderr
    kept = {p: p.read_bytes() for p in (folder / "cells").glob("*.json")}
    assert 1 <= len(kept) <= 2 and not any("failed" in json.loads(text) for text in kept.values()), "a stopped cell is no failed one"
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("name", CODES)
def test_convert(home, stopped_at, tmp_path, name):
    stopped = stopped_at(name, "appears", "out.json$", 1, "convert", home / "domains.train.json", tmp_path / "out.json", "--domain", "loud")
    assert (stopped.returncode, stopped.stderr) == (CODES[name], LINE), stopped.stderr
    assert [p.name for p in tmp_path.iterdir()] in ([], ["out.json"])


@pytest.mark.parametrize("name,code,line", [("SIGINT", 130, LINE), ("SIGTERM", 0, "")])
def test_serve(home, tmp_path, name, code, line):
    "It says where it serves, answers, and stops: told by a service manager it has done its work, by Ctrl-C it says the line"
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    import custom_rm.artefact  # noqa: F401
    from custom_rm.model import RewardModel
    RewardModel(home / "tiny", quantize=False, max_length=64).add_adapter("a").save(tmp_path / "a")
    process = subprocess.Popen([sys.executable, "-m", "custom_rm.cli", "serve", str(tmp_path), "--port", "0", "--device", "cpu"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = re.fullmatch(r"serving a at (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())[1]
        transport = httpx.HTTPTransport(retries=50)  # the address is held, and soon listened at
        with httpx.Client(transport=transport, timeout=120) as client:
            assert client.post(f"{address}/get_reward", json=dict(query=["a"])).status_code == 200
        process.send_signal(getattr(signal, name))
        _, said = process.communicate(timeout=300)
        assert (process.returncode, said) == (code, line)
    finally: process.kill(); process.wait()


def test_a_question_that_is_left_by_ctrl_c(stopped_at):
    "typer asks before it sends; whoever leaves there is answered as anywhere else"
    done = subprocess.run([sys.executable, "-c", "import sys, typer; sys.argv = ['custom-rm', 'ask']; from custom_rm.cli import app, main\n"
                           "@app.command('ask')\ndef ask(): typer.confirm('Send?')\nmain()"], input="", capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr.endswith(LINE), (done.returncode, done.stderr)
