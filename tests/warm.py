"""The command line in a process of its own whose libraries are imported already: a fork of one that did so once.

A command's own work in these tests takes tenths of a second, its imports take five. What depends on how a process
begins (its environment, its terminal, signals, an import that must not happen) is tested with real ones.
"""
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARIES = ["custom_rm.cli", "custom_rm.runs", "custom_rm.study", "custom_rm.scoring", "custom_rm.export", "custom_rm.clean",
             "custom_rm.split", "custom_rm.convert", "custom_rm.evaluate", "custom_rm.plots", "custom_rm.plan"]
BEGAN = dict(os.environ)
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(LIBRARIES)


def same_environment() -> bool:
    "Do the variables that a command reads say what they said when the libraries were imported?"
    read = ("CUSTOM_RM", "HF_", "CUDA", "RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_", "PYTHON", "HOME", "PATH", "LANG", "LC_", "TMP", "XDG")
    return all(os.environ.get(k) == BEGAN.get(k) for k in os.environ.keys() | BEGAN.keys() if k.startswith(read))


def _act(words, files, folder):
    "In the fork: standard streams onto files, then what `custom-rm` does"
    for descriptor, file in zip((0, 1, 2), files):
        opened = os.open(file, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        raw = open(descriptor, "rb" if descriptor == 0 else "wb", closefd=False)
        setattr(sys, name, io.TextIOWrapper(raw, encoding="utf-8", line_buffering=descriptor > 0))
    os.chdir(folder)
    sys.argv = ["custom-rm", *words]
    from custom_rm.cli import main
    try: main()
    finally:
        for stream in (sys.stdout, sys.stderr): stream.flush()


def run(words, timeout=600, cwd=None) -> subprocess.CompletedProcess:
    "Run one command; what `subprocess.run(..., capture_output=True, text=True)` gives"
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder) / name for name in ("out", "err"))
        for file in (out, err): file.touch()
        process = _forks.Process(target=_act, args=(list(words), (os.devnull, str(out), str(err)), str(cwd or os.getcwd())))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(list(words), timeout)
        return subprocess.CompletedProcess(["custom-rm", *words], process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))
