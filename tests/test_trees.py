"A tree gives the rewards, the loss and every adapter gradient of the plain computation: each text of each pair fed alone, in fp32."
import random
from itertools import accumulate

import pytest
import torch
from datasets import Dataset, disable_progress_bars
from torch.nn.functional import logsigmoid

disable_progress_bars()
CUDA = torch.cuda.is_available()  # there the same is asked of FlexAttention, whose heads have 16 numbers at least; sums are taken in another order
ROOM, WIDTH = (30, 64) if CUDA else (1, 32)
PROMPT = "## Human:\nWhich of these is best?\n\n## Assistant:\n"
CASES = {
    "two": [PROMPT + "This one.", PROMPT + "That one, I should think."],
    "three": [PROMPT + a for a in ("This one.", "That one, surely.", "None of them, to be honest with you.")],
    "four": [PROMPT + a for a in ("One", "One and two", "Two, then", "Neither of the four")],
    "five": [PROMPT + a for a in ("a", "bb", "ccc dd", "Perhaps the fifth of them", "e")],
    "six": [PROMPT + a for a in ("This", "That", "These", "Those", "Them", "It")],
    "empty branch": [PROMPT + "Yes", PROMPT, PROMPT + "No, and here is why."],
    "one-token branches": [PROMPT + "a", PROMPT + "b", PROMPT + "c"],
    "identical texts": [PROMPT + "Same.", PROMPT + "Same.", PROMPT + "Other."],
    "a prefix of another": [PROMPT + "Yes", PROMPT + "Yes, of course", PROMPT + "Yes, of course it is so."],
    "nothing in common": ["Alpha beta gamma.", "## Human:\nx\n\n## Assistant:\ny", "zz"],
    "truncated": ["Once upon a time there was a very long question indeed. " * 4 + PROMPT + a for a in ("Short.", "A rather longer answer than that one, with words to spare.", "Mid one.")],
}


@pytest.fixture(scope="module", params=[("llama", "last"), ("llama", "mean"), ("qwen2", "last"), ("mistral", "last"), ("mistral", "mean")], ids="-".join)
def model(request, tmp_path_factory):
    from custom_rm.model import RewardModel
    from custom_rm.tiny import tiny_base
    kind, pooling = request.param
    base = tiny_base(tmp_path_factory.mktemp(kind) / "base", [t for texts in CASES.values() for t in texts], kind, hidden_size=WIDTH)
    rm = RewardModel(base, quantize=False, pooling=pooling, max_length=48, dtype="float32").add_adapter("x")
    assert rm.trees, f"{kind} doesn't take trees"
    with torch.no_grad():  # LoRA begins as nothing: give it weights, so that every gradient has something to say
        for n, p in rm.named_parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(n))) * .3)
    return rm.eval()


def plain(rm, ids, scores):
    "Loss and gradients text by text: no batch, no padding, no tree"
    rm.zero_grad()
    rewards = torch.cat([rm(torch.tensor([t], device=rm.device), torch.ones(1, len(t), dtype=torch.long, device=rm.device))["rewards"] for t in ids])
    wins = [(i, j) for i, a in enumerate(scores) for j, b in enumerate(scores) if a > b]
    loss = -torch.stack([logsigmoid(rewards[i] - rewards[j]) for i, j in wins]).mean()
    loss.backward()
    return rewards.detach(), loss.detach(), {n: p.grad.clone() for n, p in rm.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_computation(model, case):
    from custom_rm.losses import ranking_loss
    from custom_rm.packing import score_table, tokenize_records, unflatten
    texts = CASES[case]
    scores = [float(len(texts) - i) for i in range(len(texts))] if case == "four" else [1.] + [0.] * (len(texts) - 1)
    tokens, counts = tokenize_records(Dataset.from_list([dict(text=texts, score=scores)]), model.tokenizer, model.max_length)
    record = tokens[0]
    if case == "truncated": assert counts["truncated"] == len(texts)
    if case not in ("nothing in common", "truncated"): assert counts["tokens"] < counts["unshared"]
    rewards, loss, gradients = plain(model, record["input_ids"], scores)
    model.zero_grad()
    made = model.batch([record])
    assert "layout" in made, "no tree was made"
    found = model(**made)["rewards"]
    mine = ranking_loss(unflatten(found, [record]), score_table([record]).to(model.device))
    mine.backward()
    assert torch.allclose(found, rewards, rtol=1e-4 * ROOM, atol=1e-5 * ROOM * float(rewards.abs().max()))
    assert abs(float(mine.detach() / loss) - 1) < 1e-4 * ROOM
    grown = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert grown.keys() == gradients.keys() and len(gradients) > 20
    for n, g in gradients.items():
        assert float((grown[n] - g).norm()) <= 1e-4 * ROOM * float(g.norm()) + 1e-7, f"{n}: {float((grown[n] - g).norm() / g.norm()):.1e}"


def test_many_trees_in_a_row(model):
    "Trees that share a row don't see each other, whatever stands before them."
    from custom_rm.packing import tokenize_records
    records = [dict(text=t, score=[1.] + [0.] * (len(t) - 1)) for t in CASES.values()]
    tokens = list(tokenize_records(Dataset.from_list(records), model.tokenizer, model.max_length)[0])
    with torch.no_grad():
        apart = torch.cat([model(**model.batch([r]))["rewards"] for r in tokens])
        for order in (tokens, tokens[::-1]):
            together = model(**model.batch(order))["rewards"]
            if order is not tokens: together = torch.cat(list(together.split([len(r["score"]) for r in order]))[::-1])
            assert torch.allclose(together, apart, rtol=1e-4 * ROOM, atol=1e-5 * ROOM)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "window"])
def test_models_that_take_no_trees_are_fed_rectangles(kind, tmp_path):
    "An encoder falls back, a window shorter than the texts is kept; the rewards are those of the texts alone."
    import json
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_texts
    from custom_rm.tiny import tiny_base
    base = tiny_base(tmp_path / "base", CASES["five"], "mistral" if kind == "window" else kind, hidden_size=WIDTH)
    if kind == "window":
        config = json.loads((base / "config.json").read_text()); config["sliding_window"] = 16
        (base / "config.json").write_text(json.dumps(config))
    rm = RewardModel(base, quantize=False, max_length=48, dtype="float32").add_adapter("x")
    if kind == "bert": assert not rm.trees  # a decoder may go either way as long as the rewards are right
    texts = CASES["five"]
    alone = [float(score_texts(rm, [t])[0]) for t in texts]
    assert abs(score_texts(rm, texts) - alone).max() < 1e-4 * ROOM


def unroll(tree):
    "The texts of a tree, again"
    ends = list(accumulate([tree.prefix, *tree.branches]))
    return [tree.ids[:tree.prefix] + (tree.ids[ends[leaf]:ends[leaf + 1]] if leaf >= 0 else []) for leaf in tree.leaf]


def test_a_tree_unrolls_to_its_texts():
    from custom_rm.packing import grow
    draw = random.Random(0)
    for _ in range(300):
        texts = [[draw.randint(0, 2) for _ in range(draw.randint(1, 5))] for _ in range(draw.randint(1, 6))]
        tree = grow(texts)
        assert unroll(tree) == texts
        assert len(tree.ids) <= sum(map(len, {tuple(t) for t in texts}))


def test_dealing_keeps_every_record_within_the_budget():
    from custom_rm.packing import deal
    draw = random.Random(1)
    for _ in range(50):
        sizes = [draw.randint(1, 60) for _ in range(draw.randint(1, 40))]
        made = deal(sizes, 64)
        assert sorted(sum(made, [])) == list(range(len(sizes)))
        assert all(sum(sizes[i] for i in batch) <= 64 for batch in made)


def test_rectangles_of_like_length():
    from custom_rm.packing import deal_rectangles, split_record
    uneven = [dict(input_ids=[[1] * n, [2] * n]) for n in (9, 3, 8, 2, 3)]
    assert deal_rectangles(uneven, 36) == [[0, 2], [1, 4, 3]]
    assert deal_rectangles(uneven, 1, 2) == [[0], [2], [1], [4], [3], []]
    wide = dict(input_ids=[[1, 2], [1, 3], [1, 4, 5]], response_start=[1] * 3, score=[1, 0, 0])
    assert [len(part["score"]) for part in split_record(wide, 6, trees=False)] == [2, 1]
    assert [len(part["score"]) for part in split_record(wide, 6)] == [3]


@pytest.fixture(scope="module")
def small():
    "Two records, the second with an empty text, and their tokenizer"
    from custom_rm.packing import tokenize_records
    from custom_rm.tiny import tiny_tokenizer
    records = [dict(text=CASES["two"], score=[1., 0.]), dict(text=[*CASES["two"], ""], score=[2., 1., 0.])]
    tokenizer = tiny_tokenizer(CASES["two"] * 9)
    return list(tokenize_records(Dataset.from_list(records), tokenizer)[0]), tokenizer


def test_scores_of_several_heads(small):
    from custom_rm.packing import score_table, unflatten
    tokens, _ = small
    two = [dict(r, score=[[s, -s] for s in r["score"]]) for r in tokens]
    table = score_table(tokens).nan_to_num(9).tolist()
    assert score_table(two)[::2].nan_to_num(9).tolist() == table
    assert (-score_table(two)[1::2]).nan_to_num(9).tolist() == table
    first, one = unflatten(torch.arange(10.).view(5, 2), two)[::2], unflatten(torch.arange(0., 10., 2), tokens)
    assert first.nan_to_num(9).tolist() == one.nan_to_num(9).tolist()


@pytest.mark.parametrize("whole", [False, True])
def test_rows_and_rectangles_teach_the_same_tokens(small, whole):
    from custom_rm.packing import pack, pad_texts, to_imitate
    tokens, tokenizer = small
    row, rectangle = pack(tokens), pad_texts(tokens)
    (places, targets), (places2, targets2) = to_imitate(tokens, row, whole), to_imitate(tokens, rectangle, whole)
    assert targets.tolist() == targets2.tolist()
    assert row["input_ids"].flatten()[places].tolist() == rectangle["input_ids"].flatten()[places2].tolist()
    if whole: assert targets.tolist() == [i for r in tokens for i in r["input_ids"][0][1:]]
    else: assert tokenizer.decode(targets) == "This one." * 2


def judged(tokens) -> list[dict]:
    "Three heads: the first likes the first text best, the second the last; the third judges none"
    return [dict(r, score=[[float(-i), float(i), float("nan")] for i in range(len(r["score"]))]) for r in tokens]


@pytest.mark.parametrize("whole", [False, True])
def test_each_head_has_a_text_to_imitate(small, whole):
    from custom_rm.packing import best_texts, pack, pad_texts, to_imitate
    from custom_rm.trainer import step_counts
    tokens, _ = small
    heads = judged(tokens)
    assert [best_texts(r) for r in heads] == [list(dict.fromkeys([0, len(r["score"]) - 1])) for r in heads]
    row, rectangle = pack(heads), pad_texts(heads)
    (places, targets), (places2, targets2) = to_imitate(heads, row, whole), to_imitate(heads, rectangle, whole)
    alone = [[dict(r, score=[float(i == best) for i in range(len(r["score"]))]) for r in tokens for best in [pick(r)]] for pick in (lambda r: 0, lambda r: len(r["score"]) - 1)]
    learned = [i for r in heads for best in best_texts(r) for i in r["input_ids"][best][1 if whole else max(1, r["response_start"][best]):]]
    assert targets.tolist() == targets2.tolist() == learned and row["input_ids"].flatten()[places].tolist() == rectangle["input_ids"].flatten()[places2].tolist()
    assert step_counts(heads, whole)["tokens"] == len(learned) == sum(step_counts(one, whole)["tokens"] for one in alone)
    silent = [dict(r, score=[[float("nan")] * 3 for _ in r["score"]]) for r in tokens]
    assert to_imitate(silent, row).shape == (2, 0) and to_imitate([dict(r, imitate=False) for r in heads], row).shape == (2, 0)


@pytest.mark.parametrize("trees", [True, False])
def test_imitation_of_several_heads_in_parts(tmp_path, trees):
    "A list that is fed in parts gives the gradients of the whole, whichever part has which head's best text"
    from custom_rm.model import RewardModel
    from custom_rm.packing import tokenize_records
    from custom_rm.tiny import sum_text, tiny_base
    from custom_rm.trainer import RewardTrainer, step_counts, training_arguments
    texts = [sum_text(4, a) for a in ("5!!!", "5.", "No idea.", "five, I think")]
    rm = RewardModel(tiny_base(tmp_path / "tiny", texts, hidden_size=WIDTH), quantize=False, dtype="float32", device="cpu").add_adapter("together")
    rm.widen(3)
    torch.manual_seed(0)
    with torch.no_grad():
        for p in rm.parameters():
            if p.requires_grad: p.normal_(0, .1)
    rm.trees = trees
    tokens, _ = tokenize_records(Dataset.from_list([dict(text=texts, score=[0.] * 4)]), rm.tokenizer)
    record = judged([dict(tokens[0])])[0]
    grads = []
    for budget in (4096, 22):
        args = training_arguments(tmp_path / "out", rm, 1, save_strategy="no", report_to="none")
        trainer = RewardTrainer(rm, args, tokens, budget=budget, imitation=.5)
        assert (len(trainer._pieces(record)) > 1) == (trainer._size(record) > budget) == (budget == 22)
        rm.zero_grad()
        trainer._one_batch(rm, [record], step_counts([record]), 1.)
        grads.append({n: p.grad.clone() for n, p in rm.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() and len(grads[0]) > 4
    for name in grads[0]: assert (grads[0][name] - grads[1][name]).abs().max() < 1e-5 * max(1, float(grads[0][name].abs().max())), name


def test_a_text_alone_or_without_a_template(small):
    from custom_rm.packing import encode, tokenize_records
    tokens, tokenizer = small
    assert encode([""], tokenizer) == dict(input_ids=[[]], response_start=[0], cut=[0])
    assert encode(["no template here"], tokenizer)["response_start"] == [0]
    assert tokens[1]["input_ids"][2] == [tokenizer.eos_token_id]
    short = encode(CASES["two"], tokenizer, 12)["input_ids"]
    assert short == [ids[-12:] for ids in encode(CASES["two"], tokenizer)["input_ids"]]
    records = Dataset.from_list([dict(text=CASES["five"], score=[1.] + [0.] * 4), dict(text=["a", "b"], score=[1., 0.])])
    kept, counts = tokenize_records(records, tokenizer, 4, "drop")
    assert (counts["dropped"], counts["records"], len(kept)) == (1, 1, 1)
@pytest.mark.parametrize("kind", ["qwen2", "mistral", "gpt2", "bert"])
def test_padding_side_and_company(kind, tmp_path):
    "Whatever the architecture: the rewards of a batch are those of its texts alone, and of rows padded on the left."
    from custom_rm.core import DataError
    from custom_rm.model import RewardModel
    from custom_rm.packing import encode, pad_texts
    from custom_rm.tiny import tiny_base
    texts = CASES["three"]
    rm = RewardModel(tiny_base(tmp_path / kind, texts * 9, kind, hidden_size=WIDTH), quantize=kind != "gpt2", dtype="float32").add_adapter("other")
    assert rm.trees == (kind != "bert") and rm.pooling == ("mean" if kind == "bert" else "last")
    record = dict(encode(texts, rm.tokenizer), score=[1., 0., 0.])
    rows = [torch.tensor([ids], device=rm.device) for ids in record["input_ids"]]
    padded = pad_texts([record], rm.tokenizer.pad_token_id)
    shifts = [row.numel() - int(row.sum()) for row in padded["attention_mask"]]
    left = [torch.stack([row.roll(k) for row, k in zip(padded[key], shifts)]).to(rm.device) for key in ("input_ids", "attention_mask")]
    with torch.no_grad():
        together = rm(**rm.batch([record]))["rewards"]
        alone = torch.cat([rm(row, torch.ones_like(row))["rewards"] for row in rows])
        assert torch.allclose(alone, together, rtol=0, atol=1e-5 * ROOM)
        if kind != "bert": assert torch.allclose(rm(*left)["rewards"], together, rtol=0, atol=1e-5 * ROOM)
    if kind == "mistral": assert tuple(rm.lm_head().shape) == (len(rm.tokenizer), WIDTH)  # of the files: it is not tied
    if kind == "bert":
        with pytest.raises(DataError, match="is an encoder"): rm.lm_head()
