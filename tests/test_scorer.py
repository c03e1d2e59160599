"Rewards don't depend on company, order, batches or kind of trunk; one pass serves all heads of a trunk; odd input gives odd shapes and no crash."
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from custom_rm.core import DataError
from custom_rm.packing import grow
from custom_rm.scorer import length_batches, score_records, score_texts, tree_groups
from custom_rm.scoring import score_file, Scorer
from custom_rm.tiny import sum_text, tiny_base

TEXTS = [sum_text(i, answer) for i in range(5) for answer in (f"It is {i+1}.", "No idea.", "")] + ["", "Not in any template"]


@pytest.fixture(scope="module", params=["llama", "bert"], ids=["trees", "rectangles"])
def rm(request, tmp_path_factory):
    "A model with three adapters that have opinions"
    from custom_rm.model import RewardModel
    rm = RewardModel(tiny_base(tmp_path_factory.mktemp("tiny") / "base", TEXTS, request.param))
    assert rm.trees == (request.param == "llama")
    for seed, name in enumerate(("general", "loud", "quiet")):
        rm.add_adapter(name)
        draw = torch.Generator().manual_seed(seed)
        for p in rm.parameters():
            if p.requires_grad: p.data.copy_(torch.randn(p.shape, generator=draw) * .5)
    return rm.use("general")


def saved(groups, texts): return sum(map(len, texts)) - sum(len(grow([texts[i] for i in g]).ids) for g in groups)


@settings(deadline=None, max_examples=60)
@given(st.sets(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=6))
def test_no_cuts_save_more(texts):
    texts = [list(t) for t in sorted(texts)]
    cuts = (c for k in range(len(texts)) for c in itertools.combinations(range(1, len(texts)), k))
    best = max((saved([range(a, b) for a, b in zip((0, *c), (*c, len(texts)))], texts) for c in cuts), default=0)
    assert saved(tree_groups(texts), texts) == best


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=12), st.integers(1, 40), st.integers(1, 8))
def test_groups_hold_all_texts_within_limits(texts, budget, most):
    groups = tree_groups(texts, budget, most)
    assert sorted(i for g in groups for i in g) == list(range(len(texts)))
    assert all(len(g) == 1 or len(grow([texts[i] for i in g]).ids) <= budget for g in groups) and all(len(g) <= most for g in groups)
    batches = length_batches([len(t) for t in texts], budget)
    assert sorted(i for b in batches for i in b) == list(range(len(texts)))
    assert all(len(b) == 1 or len(b) * max(len(texts[i]) for i in b) <= budget for b in batches)


def test_company_order_and_budget(rm):
    one_by_one = np.array([score_texts(rm, [t])[0] for t in TEXTS])
    assert one_by_one.std() > .1, "equal rewards would hide any mistake"
    for budget in (1, 70, 4096):
        assert np.allclose(score_texts(rm, TEXTS, budget=budget), one_by_one, atol=1e-4)
        assert np.allclose(score_texts(rm, TEXTS[::-1], budget=budget)[::-1], one_by_one, atol=1e-4)


def test_nothing_to_score(rm):
    assert tree_groups([]) == [] == length_batches([], 9)
    assert score_texts(rm, []).shape == (0,) and score_texts(rm, [], ["loud", "quiet"]).shape == (2, 0)
    assert score_records(rm, []) == [] and score_records(rm, [{"text": []}]) == [[]]
    scorer = Scorer(rm)
    assert scorer.rows([]) == [] and scorer.rows([[], TEXTS[:1]])[0]["rewards"] == []


def test_model_is_left_as_it_was(rm):
    rm.use("loud").train()
    score_texts(rm, TEXTS, ["quiet", "general"])
    assert rm.active == "loud" and rm.training
    rm.use("general").eval()


def test_adapters_of_one_trunk_take_one_pass(rm):
    from copy import deepcopy
    rm = deepcopy(rm)
    rm.use("general").add_adapter("both", like="general").widen(2)
    head = next(p for n, p in rm.named_parameters() if "both" in n and p.shape[0] == 2)
    matrix = next(p for n, p in rm.named_parameters() if "both" in n and "lora_A" in n)
    with torch.no_grad(): head[1].mul_(-1); matrix.add_(1)
    rm.split_heads(["plus", "minus"])
    assert rm.same_trunk(["loud", "plus", "general", "minus"]) == [["loud"], ["plus", "minus"], ["general"]]
    one, three = [], []
    table = score_texts(rm, TEXTS, ["minus", "general", "plus"], progress=three.append)
    score_texts(rm, TEXTS, ["general"], progress=one.append)
    assert sum(three) == 2 * sum(one), "two passes for three adapters"
    assert np.allclose(table[0], -table[2], atol=1e-6)
    assert (table[2] == score_texts(rm.use("plus"), TEXTS)).all()


def test_a_broken_row_leaves_no_file(rm, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('"a"\n{"prompt": "Hi", "answer": "Hello"}\n')
    for target in ("out.jsonl", "out.arrow", "out.parquet"):
        with pytest.raises(DataError, match="line 2: is not something to score"): score_file(Scorer(rm), source, tmp_path / target, block=1)
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]
