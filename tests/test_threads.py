"Models that several threads load at once: what belongs to the process is afterwards as it was, and every model is itself."
import inspect
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from test_architectures import base_of, imitation, model
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from custom_rm.artefact import load
from custom_rm.core import process_lock, quietly
from custom_rm.export import merge
from custom_rm.files import unpacked
from custom_rm.scorer import score_texts
from custom_rm.tiny import tiny_base

TEXTS = [f"## Human:\nWhat is {i} plus one?\n\n## Assistant:\nIt is {i + 1}." for i in range(4)]


def belongings():
    "What a thread could leave otherwise for all"
    drawn = {name: f for name, f in inspect.getmembers(torch.nn.init, inspect.isfunction)}
    lone = {name: getattr(torch, name) for name in ("linspace", "arange", "zeros", "ones")}
    return dict(drawn, **lone, tied=PreTrainedModel.tie_weights, drawn_by=PreTrainedModel._init_weights, stderr=sys.stderr, warn=warnings.showwarning,
                filters=list(warnings.filters), level=logging.get_verbosity(), bars=logging.is_progress_bar_enabled(), dtype=torch.get_default_dtype())


@pytest.fixture
def four(tmp_path):
    "Four artefacts, each on a base of its own kind, and the rewards that they give one by one"
    rms = [model(base_of(kind, tmp_path)) for kind in ("llama", "gpt2", "qwen2", "bert")]
    folders = [rm.save(tmp_path / str(i) / "x") for i, rm in enumerate(rms)]
    return folders, [score_texts(rm, TEXTS) for rm in rms]


def test_threads_that_load_models_leave_the_process_as_it_was(four, tmp_path):
    (folders, expected), before = four, belongings()
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda i: score_texts(load(folders[i % 4], device="cpu"), TEXTS), range(16)))
    assert all((found[i] == expected[i % 4]).all() for i in range(16))
    assert belongings() == before
    # a language model loaded next has its own output layer, and ours foresees what it does
    assert imitation(model(base_of("llama", tmp_path / "next"))) < 1e-4
    lm = quietly(AutoModelForCausalLM.from_pretrained, tmp_path / "next" / "llama")
    assert torch.equal(lm.lm_head.weight, lm.model.embed_tokens.weight)


def test_threads_that_load_score_export_and_read_lists_leave_the_process_as_it_was(four, tmp_path):
    folders, expected = four[0][:3], four[1][:3]
    one, before = load(folders[0], device="cpu"), belongings()
    ways = [lambda i: merge(folders[i % 3], tmp_path / f"merged {i}", texts=TEXTS, device="cpu")["share"] < 1e-4,
            lambda i: np.allclose(score_texts(load(folders[i % 3], device="cpu"), TEXTS), expected[i % 3], atol=1e-6),
            lambda i: np.allclose(score_texts(one, TEXTS), expected[0], atol=1e-6),
            lambda i: all(unpacked(r"['a\d', 'b']", "a cell") == [r"a\d", "b"] for _ in range(50))]
    with ThreadPoolExecutor(6) as pool: assert all(pool.map(lambda i: ways[i % 4](i), range(36)))
    assert belongings() == before


def test_threads_that_draw_weights_draw_the_same(tmp_path):
    def drawn(i): return quietly(AutoModelForCausalLM.from_pretrained, tiny_base(tmp_path / str(i), TEXTS)).state_dict()
    first = drawn("first")
    with ThreadPoolExecutor(4) as pool: others = list(pool.map(drawn, range(8)))
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


def test_a_thread_waits_while_another_is_quiet():
    "Were two in there at once, the second to come out would leave what the first had put in"
    inside, go, seen = threading.Event(), threading.Event(), []
    def first():
        inside.set()
        assert go.wait(30)
        seen.append("first")
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(quietly, first)
        assert inside.wait(30)
        two = pool.submit(quietly, seen.append, "second")
        assert not process_lock.acquire(blocking=False)
        go.set()
        one.result(30), two.result(30)
    assert seen == ["first", "second"]
