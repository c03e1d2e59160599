"Rewards don't depend on company, order, batches or kind of trunk; one pass serves all heads of a trunk; odd input gives odd shapes and no crash."
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from custom_rm.core import DataError
from custom_rm.packing import grow
from custom_rm.scorer import length_batches, score_records, score_texts, tree_groups
from custom_rm.scoring import reward_function, rows_of, score_file, Scorer, texts_of
from custom_rm.templates import join, split_text, TEMPLATES, to_template
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
    source.write_text('"a"\n{"prompt": "Hi", "reply": "Hello"}\n')
    for target in ("out.jsonl", "out.arrow", "out.parquet"):
        with pytest.raises(DataError, match="line 2: is not something to score"): score_file(Scorer(rm), source, tmp_path / target, block=1)
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


# One question and one answer in every way that people write them: all are one text

QUESTION, ANSWER, SYSTEM = "Is it 4?\nReally?", "It is.\n\nYes, it is 4.", "Be brief."
DSP = f"## Human:\n{QUESTION}\n\n## Assistant:\n{ANSWER}"
HH = f"\n\nHuman: {QUESTION}\n\nAssistant: {ANSWER}"


def says(role, content): return dict(role=role, content=content)


ASKED = says("user", QUESTION)
PROMPTS = dict(
    bare=QUESTION, dsp=f"## Human:\n{QUESTION}", dsp_cut=f"## Human:\n{QUESTION}\n\n", dsp_marker=f"## Human:\n{QUESTION}\n\n## Assistant:", dsp_closed=f"## Human:\n{QUESTION}\n\n## Assistant:\n",
    hh=f"\n\nHuman: {QUESTION}", hh_marker=f"\n\nHuman: {QUESTION}\n\nAssistant:", hh_closed=f"\n\nHuman: {QUESTION}\n\nAssistant: ", hh_stripped=f"Human: {QUESTION}\n\nAssistant:", hh_single=f"Human: {QUESTION}\nAssistant:",
    messages=[ASKED], messages_closed=[ASKED, says("assistant", "")], sharegpt=[{"from": "human", "value": QUESTION}], parts=[says("user", [{"type": "text", "text": QUESTION}])])
CHAT = [ASKED, says("assistant", ANSWER)]
ANSWERS = dict(bare=ANSWER, message=says("assistant", ANSWER), messages=[says("assistant", ANSWER)], chat=CHAT, dsp=DSP, hh=HH, hh_stripped=HH.strip(), hh_single=HH.strip().replace("\n\nAssistant", "\nAssistant"))
WHOLE = dict(dsp=DSP, hh=HH, hh_stripped=HH.strip(), messages=CHAT, sharegpt=[{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}])


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_question_and_its_answer_are_one_text(prompt, template):
    expected = to_template(DSP, template)
    for name, answer in ANSWERS.items(): assert join(PROMPTS[prompt], answer, "row", template) == expected, name
    assert join(PROMPTS[prompt], QUESTION, "row", template) == TEMPLATES[template].format(prompt=QUESTION, response=QUESTION), "an answer that repeats the question"


@pytest.mark.parametrize("style", TEMPLATES)
def test_several_turns_and_white_space_of_trained_texts_stay(style):
    turns = [says("user", "a"), says("assistant", "b"), says("user", "c"), says("assistant", " d\n")]
    text = TEMPLATES[style].format(prompt="a", response="b") + "\n\n" + TEMPLATES[style].format(prompt="c", response=" d\n").lstrip("\n")
    before, answer = split_text(text)
    for prompt in (before, before.rstrip(), turns[:3]):
        for given in (turns[3], turns, text): assert join(prompt, given, "row", style) == text
    for prompt in (before, turns[:3]): assert join(prompt, answer, "row", style) == text
    assert join("c", turns, "row", style) == text, "only the chat holds what was said before"
    assert join("\n\nHuman: hi\n\nAssistant:", " ho", "row", "hh") == "\n\nHuman: hi\n\nAssistant: ho"


def test_a_system_message_is_kept_whoever_has_it():
    expected = f"## Human:\n{SYSTEM}\n\n{QUESTION}\n\n## Assistant:\n{ANSWER}"
    system = says("system", SYSTEM)
    for prompt, answer in (([system, ASKED], ANSWER), ([system, ASKED], CHAT), ([system, ASKED], DSP), ([system, ASKED], [system, *CHAT]), (QUESTION, [system, *CHAT]), ([says("developer", SYSTEM), ASKED], [system, *CHAT]), ([system, ASKED], expected)):
        assert join(prompt, answer, "row") == expected


@pytest.mark.parametrize("prompt,answer,why", [
    (QUESTION, [says("user", "Other?"), says("assistant", "No.")], "asks something else"), ("Other?", DSP, "asks something else"), ("Other?", HH.strip(), "asks something else"),
    ([says("system", "A"), ASKED], [says("system", "B"), *CHAT], "asks something else"), (DSP, ANSWER, "ends with an answer"), (CHAT, ANSWER, "ends with an answer"),
    (QUESTION, None, "an answer is null"), (QUESTION, True, "an answer is true"), (QUESTION, [], "an answer is"), (QUESTION, [ASKED], "don't end with an answer"), (None, ANSWER, "the prompt is null"), ([], ANSWER, "the prompt is"),
    (QUESTION, says("narrator", "It."), "narrator"), ([says("user", [{"type": "image_url", "image_url": "x"}])], ANSWER, "only text can be read"),
])
def test_what_is_not_one_conversation_is_refused(prompt, answer, why):
    with pytest.raises(DataError, match=f"^row: .*{why}"): join(prompt, answer, "row")


@pytest.fixture(scope="module")
def scorer(rm): return Scorer(rm)


def test_every_way_to_ask_has_one_reward(scorer):
    (expected,) = scorer.score([DSP], names=["general"])
    better, worse = ("bare", "other") if scorer.compare(QUESTION, ANSWER, "No idea.", "general") > .5 else ("other", "bare")
    for whole in WHOLE.values(): assert scorer.score([whole], names=["general"]) == pytest.approx([expected], abs=1e-4)
    for prompt in PROMPTS.values():
        assert scorer.score(prompt=prompt, responses=list(ANSWERS.values()), names=["general"]) == pytest.approx(expected, abs=1e-4)
        assert scorer.rank(prompt, [ANSWER, "No idea."], "general") == [0, 1] if better == "bare" else [1, 0]
        assert scorer.best_of_n(prompt, [ANSWERS["hh"], "No idea."], "general") == (ANSWERS["hh"] if better == "bare" else "No idea.")
        assert scorer.compare(prompt, ANSWER, DSP, "general") == pytest.approx(.5, abs=1e-4)
    with pytest.raises(DataError, match="give a list"): scorer.score("a text, not a list")


def test_trainers_rows(scorer):
    "TRL passes what stands before an answer, and what was written after it: both as strings, or both as messages"
    judge, (expected,) = reward_function(scorer, domain_column="domain"), scorer.score([DSP], names=["loud"])
    for name, prompt in PROMPTS.items():
        completion = [says("assistant", ANSWER)] if isinstance(prompt, list) else ANSWER
        if name.endswith("hh_marker"): completion = " " + ANSWER
        assert judge([prompt], [completion], domain=["loud"]) == pytest.approx([expected], abs=1e-4), name
    call = dict(role="assistant", content=None, tool_calls=[{"name": "add"}])
    rollout = [call, says("tool", "4"), says("assistant", ANSWER)]
    (whole,) = scorer.score([[ASKED, *rollout]], names=["loud"])
    assert judge([[ASKED]] * 3, [rollout, rollout[:2], rollout], domain=["loud", "loud", "nobody"]) == [pytest.approx(whole, abs=1e-4), None, None]
    written = "\n\nHuman: Another?\n\nAssistant: Yes."  # what a policy makes up is its answer
    assert judge([QUESTION], [written], domain=["loud"]) == pytest.approx(scorer.score([TEMPLATES["dsp"].format(prompt=QUESTION, response=written)], names=["loud"]).tolist(), abs=1e-4)


ROWS = [
    *WHOLE.values(), *({"text": whole} for whole in WHOLE.values()), {"text": [DSP, CHAT], "score": [1, 0], "person": "Ann Lee"},
    *({"messages": whole} for whole in WHOLE.values() if isinstance(whole, list)), *({name: CHAT} for name in ("conversations", "conversation")),
    *({"prompt": prompt, "response": ANSWER} for prompt in PROMPTS.values()), *({"prompt": QUESTION, "responses": [answer]} for answer in ANSWERS.values()),
    *({name: QUESTION, "response": ANSWER} for name in ("query", "question", "instruction")), *({"prompt": QUESTION, name: [ANSWER]} for name in ("completions", "answers", "response")),
    *({"prompt": QUESTION, name: ANSWER} for name in ("completion", "answer", "output")), {"prompt": QUESTION, "responses": {"loud": ANSWER}}, {"prompt": [ASKED], "completion": [says("assistant", ANSWER)]},
    {"instruction": "Is it 4?", "input": "Really?", "output": ANSWER}, {"instruction": QUESTION, "input": "", "output": ANSWER, "system": None, "history": []},
    {"prompt": QUESTION, "messages": CHAT, "prompt_id": "a1"}, {"messages": [ASKED], "responses": [ANSWER]}, {"Prompt ": QUESTION, "RESPONSE": ANSWER}, {"prompt": QUESTION, "response": ANSWER, "id": 3, "model": "a b c", "label": "good"},
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_row_is_one_text(template):
    for i, row in enumerate(ROWS): assert set(texts_of(f"row {i}", row, template)) == {to_template(DSP, template)}, row


def test_what_stands_before_a_question_is_kept():
    history, system = [says("user", "a"), says("assistant", "b")], says("system", SYSTEM)
    whole = join([system, *history, ASKED], ANSWER, "row")
    rows = [{"system": SYSTEM, "history": [["a", "b"]], "prompt": QUESTION, "response": ANSWER}, {"system_prompt": SYSTEM, "history": history, "query": [ASKED], "response": ANSWER},
            {"system": SYSTEM, "history": [["a", "b"]], "prompt": PROMPTS["hh_marker"], "response": ANSWER}, {"system": SYSTEM, "messages": [*history, *CHAT]}, {"system": SYSTEM, "messages": [system, *history, *CHAT]},
            {"system": SYSTEM, "history": [["a", "b"]], "messages": [*history, *CHAT]}, {"messages": [system, *history, ASKED], "response": ANSWER}, {"system": SYSTEM, "conversations": [*history, *CHAT]}]
    for row in rows: assert texts_of("row", row, "dsp") == [whole], row


@pytest.mark.parametrize("row,why", [
    ({"prompt": QUESTION, "response": ANSWER, "context": "Four"}, "'context'.*--ignore context"), ({"prompt": QUESTION, "response": ANSWER, "input": "Four"}, "'input'"), ({"prompt": QUESTION, "response": ANSWER, "question": "Who?"}, "'question'"),
    ({"prompt": QUESTION, "response": ANSWER, "brief": "In two words."}, "'brief'"), ({"prompt": QUESTION, "response": ANSWER, "history": "We said much."}, "'history'"), ({"prompt": QUESTION, "response": ANSWER, "answer": "Four."}, "'answer'"),
    ({"prompt": QUESTION, "messages": [ASKED], "response": ANSWER}, "'prompt'"), ({"prompt": "Other?", "messages": CHAT}, "asks something else"), ({"text": ANSWER, "prompt": QUESTION}, "rename the column text to response"), ({"text": ANSWER, "context": "Four"}, "'context'"),
    ({"prompt": " ", "response": ANSWER}, "not something to score"), ({"response": ANSWER}, "not something to score"), ({"prompt": QUESTION, "chosen": ANSWER, "rejected": "No."}, "not something to score"), ({"messages": CHAT[:1]}, "don't end with an answer"),
    ({"prompt": QUESTION, "response": ANSWER, "Prompt": "Who?"}, "two columns are called 'prompt'"), (3, "give a text"), ([ANSWER, ANSWER], "a message is"), ({}, "not something to score"),
])
def test_a_row_that_would_lose_words_is_refused(row, why):
    with pytest.raises(DataError, match=f"row 1: .*{why}"): texts_of("row 1", row, "dsp")
    if isinstance(row, dict) and "--ignore" in why: assert texts_of("row 1", row, "dsp", ignore=["Context", "context"]) == [DSP]


def test_any_kind_of_file_is_scored(scorer, tmp_path):
    import gzip
    import json
    import pyarrow as pa
    import pyarrow.parquet as pq
    rows = [{"prompt": QUESTION, "response": ANSWER}, {"prompt": QUESTION, "response": "[3, 4]"}]
    chat = '"' + json.dumps(CHAT[:1]).replace('"', '""') + '"'
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "gzipped.jsonl").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(f'prompt,response\n{chat},"{ANSWER}"\n"{QUESTION}","[3, 4]"\n')
    (tmp_path / "messages.csv").write_text('messages\n"' + json.dumps(CHAT).replace('"', '""') + '"\n')
    expected = scorer.score(prompt=QUESTION, responses=[ANSWER, "[3, 4]"], names=["general"])
    for source in ("a.jsonl", "gzipped.jsonl", "a.parquet", "a.csv", "messages.csv"):
        n = score_file(scorer, tmp_path / source, tmp_path / "out.jsonl.gz")
        rewards = [row["rewards"][0] for _, row in rows_of(tmp_path / "out.jsonl.gz")]
        assert n == len(rewards) and np.allclose(rewards, expected[:n], atol=1e-4), source
    for target in ("out.csv", "out.txt", "out"):
        with pytest.raises(DataError, match="name a .jsonl"): score_file(scorer, tmp_path / "nothing.jsonl", tmp_path / target)
