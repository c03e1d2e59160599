"Texts of any length, and of none: other tools get from an export the tokens, and so the rewards, that the artefact gives."
import json
import re

import numpy as np
import pytest
import torch

from custom_rm import export
from custom_rm.core import DataError, quietly
from custom_rm.packing import encode
from custom_rm.scorer import score_records, score_texts
from custom_rm.templates import chat_text
from custom_rm.tiny import TINY_CHAT, sum_text, tiny_base

MOST = 48
TEXTS = [sum_text(i, f"It is {i + 1}{'!' * i}") for i in range(4)]
LONG = [sum_text("so " * 90 + str(i), f"It is {i}.") for i in range(3)] + [sum_text(1, "word " * 80 + str(i)) for i in range(3)]


def with_cls(base):
    "Give a base's tokenizer a token before a text and one behind it, as BERT's has"
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(base)
    first, last = "<|im_start|>", "<|im_end|>"
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (first, last)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{first} $A {last}", pair=f"{first} $A {last} $B {last}", special_tokens=special)
    tokenizer.cls_token, tokenizer.sep_token = first, last
    tokenizer.save_pretrained(base)
    return base


def with_old_settings(base):
    "A tokenizer whose files say something else already, as those of sentence-transformers do"
    said = json.loads((base / "tokenizer.json").read_text())
    said["truncation"] = dict(direction="Right", max_length=20, strategy="LongestFirst", stride=0)
    (base / "tokenizer.json").write_text(json.dumps(said))
    config = json.loads((base / "tokenizer_config.json").read_text()) | dict(truncation_side="right", model_max_length=20)
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    return base


BASES = {
    "gpt2": dict(kind="gpt2"), "gpt_neox+bos": dict(kind="gpt_neox", bos=True), "llama": dict(), "llama+bos": dict(bos=True), "qwen3+bos": dict(kind="qwen3", bos=True),
    "llama+hh+bos": dict(bos=True, template="hh"), "llama+chat": dict(chat=TINY_CHAT, template="chat"), "qwen3+chat+bos": dict(kind="qwen3", chat=TINY_CHAT, bos=True, template="chat"),
    "llama+cls": dict(then=with_cls), "llama+old": dict(bos=True, then=with_old_settings),
}


def artefact(home, then=lambda base: base, template="dsp", **kwargs):
    from custom_rm.model import RewardModel
    base = then(tiny_base(home / "base", [*TEXTS, *LONG], **kwargs))
    pooling = {} if kwargs.get("kind", "llama") not in ("bert", "modernbert") else dict(pooling="last")
    rm = RewardModel(base, quantize=False, max_length=MOST, template=template, **pooling).add_adapter("taste")
    with torch.no_grad():
        for n, p in rm.named_parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(n))) * .1)
    rm.save(home / "taste")
    return rm


@pytest.fixture(scope="module", params=BASES)
def exported(request, tmp_path_factory):
    "(where they are, the reward model, texts in its template)"
    from custom_rm.templates import to_template
    home = tmp_path_factory.mktemp("exported")
    rm = artefact(home, **BASES[request.param])
    export.merge(home / "taste", home / "plain")
    export.copy_adapter(home / "taste", home / "adapter")
    return home, rm, [to_template(text, rm.template) for text in [*TEXTS, *LONG]]


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_an_encoder_without_a_head_is_served_and_not_exported(tmp_path, kind):
    "Its own class has more layers behind the trunk, for PEFT too"
    artefact(tmp_path, kind=kind, then=with_cls)
    for way in (export.merge, export.copy_adapter):
        with pytest.raises(DataError, match="serve it with `custom-rm serve`") as e: way(tmp_path / "taste", tmp_path / "out")
        assert "--adapter" not in str(e.value) and not (tmp_path / "out").exists()


def folders(home): return [home / name for name in ("plain", "adapter") if (home / name).exists()]


def test_a_tokenizer_that_is_told_to_cut_cuts_as_here(exported):
    from transformers import AutoTokenizer
    home, rm, texts = exported
    if rm.chat: pytest.skip("whole exchanges go first")
    ours = encode(texts, rm.tokenizer, MOST)
    assert sum(lost > 0 for lost in ours["cut"]) >= 6
    for folder in folders(home):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert (tokenizer.truncation_side, tokenizer.model_max_length) == ("left", MOST)
        assert tokenizer(texts, truncation=True)["input_ids"] == ours["input_ids"]
        tokenizer.save_pretrained(home / "again")
        assert AutoTokenizer.from_pretrained(home / "again")(texts, truncation=True)["input_ids"] == ours["input_ids"]


def test_an_export_as_a_base_is_read_whole(exported):
    "The settings are for other tools; `encode` cuts by its own limit"
    from transformers import AutoTokenizer
    home, rm, texts = exported
    tokenizer = AutoTokenizer.from_pretrained(folders(home)[0])
    assert encode(texts, tokenizer, 512, rm.chat)["input_ids"] == encode(texts, rm.tokenizer, 512, rm.chat)["input_ids"]


def test_pipeline(exported):
    from transformers import pipeline
    home, rm, texts = exported
    if rm.chat or not (home / "plain").exists(): pytest.skip("no text for a pipeline")
    judge = quietly(pipeline, "text-classification", model=str(home / "plain"), function_to_apply="none")
    ours, found = score_texts(rm, texts), [one["score"] for one in judge(texts, truncation=True)]
    assert np.abs(ours - found).max() < 1e-4
    batched = [one["score"] for one in judge(texts, truncation=True, batch_size=4)]
    assert np.abs(ours - batched).max() < 1e-4
    uncut = [one["score"] for one in judge(texts)]
    assert np.abs(ours - uncut)[4:].max() > 1e-3, "nothing was cut"


def test_plain_peft_and_an_artefact_again(exported):
    from custom_rm.artefact import load
    home, rm, texts = exported
    ours = score_texts(rm, texts)
    assert np.abs(ours - score_texts(load(home / "adapter", device="cpu"), texts)).max() < 1e-5
    if (home / "plain").exists(): assert np.abs(ours - export.plain_rewards(home / "plain", texts, MOST)).max() < 1e-4


def blocks(folder): return re.findall(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.S)


CHATS = [[dict(role="system", content="Be kind.")] * system + [dict(role=role, content=f"{word} {n} " * size) for n in range(turns) for role, word in (("user", "ask"), ("assistant", "say"))]
         for system in (0, 1) for turns in (1, 2, 3) for size in (1, 2, 9)]


def test_what_the_card_says_works_when_typed(exported):
    from transformers import AutoTokenizer
    home, rm, texts = exported
    for folder in folders(home):
        names = dict(tokenizer=AutoTokenizer.from_pretrained(folder))
        found = blocks(folder)
        if rm.chat:
            exec(found[0], names)
            said = [chat_text(chat, "", "chat") for chat in CHATS]
            ours = encode(said, rm.tokenizer, MOST, rm.chat)
            assert 0 < sum(lost > 0 for lost in ours["cut"]) < len(CHATS)
            assert [names["tokens"](chat) for chat in CHATS] == ours["input_ids"]
            continue
        cut, render = found
        for chat in CHATS:
            exec(render, names | dict(messages=chat), there := {})
            exec(cut.splitlines()[0], names | there, read := {})
            assert read["ids"] == encode([chat_text(chat, "", rm.template)], rm.tokenizer, MOST)["input_ids"][0]
        assert ("pipeline(" in cut) == (folder.name == "plain")


def test_cross_encoder(exported):
    "It cuts by itself, as messages: without an opening token the rewards are ours"
    sentence_transformers = pytest.importorskip("sentence_transformers")
    home, rm, texts = exported
    if rm.template != "dsp" or not (home / "plain").exists(): pytest.skip("no pairs")
    judge = quietly(sentence_transformers.CrossEncoder, str(home / "plain"), num_labels=1, device="cpu")
    pairs = [tuple(text.removeprefix("## Human:\n").split("\n\n## Assistant:\n")) for text in texts]
    found = judge.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    ours, opened = score_texts(rm, texts), len(rm.tokenizer("")["input_ids"])
    assert np.abs(ours - found)[:4].max() < 1e-4 or opened > 1
    if not opened: assert np.abs(ours - found).max() < 1e-4


def test_trl_cuts_nothing_and_adds_nothing():
    "As the card says"
    trl = pytest.importorskip("trl")
    import inspect
    for trainer in (trl.GRPOTrainer, trl.RLOOTrainer):
        source = inspect.getsource(trainer._calculate_rewards)
        assert "add_special_tokens=False" in source and "truncation" not in source


@pytest.mark.parametrize("kwargs", [dict(), dict(bos=True), dict(kind="gpt_neox", bos=True), dict(chat=TINY_CHAT, bos=True, template="chat")])
@pytest.mark.parametrize("most", [16, 64])
def test_samples_longer_than_the_model_reads_don_t_drift(tmp_path, kwargs, most, monkeypatch):
    monkeypatch.setattr(f"{__name__}.MOST", most)
    artefact(tmp_path, **kwargs)
    assert export.merge(tmp_path / "taste", tmp_path / "out")["share"] < 1e-3


def test_nobody_is_told_what_he_does_already():
    for dtype, advice in (("float32", "serve it with `custom-rm serve`, or allow it with --force"), ("bfloat16", "export it with --dtype float32, or allow it with --force")):
        for share in (.5, float("nan")):
            with pytest.raises(DataError) as e: export._check_drift(dict(share=share), .01, dtype, "out")
            assert str(e.value).endswith(advice) and ("float32," in advice) == (dtype != "float32")


def with_two(base):
    "A tokenizer that opens a text with two tokens, none of which it calls bos"
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(base)
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<|endoftext|>", "<|im_start|>")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|endoftext|> <|im_start|> $A", pair="<|endoftext|> <|im_start|> $A $B", special_tokens=special)
    tokenizer.save_pretrained(base)
    return base


def test_a_tokenizer_that_would_keep_other_tokens_is_refused(tmp_path):
    artefact(tmp_path, then=with_two)
    with pytest.raises(DataError, match="longer than 48 tokens its tokenizer keeps other tokens .*custom-rm serve.* --force"):
        export.merge(tmp_path / "taste", tmp_path / "out", texts=TEXTS)
    assert not (tmp_path / "out").exists()
    export.merge(tmp_path / "taste", tmp_path / "out", texts=TEXTS[:2], force=True)


def without_ends(base):
    "Neither pad, eos, bos nor unk, in any file"
    for name in ("tokenizer_config.json", "config.json", "generation_config.json"):
        if not (base / name).exists(): continue
        said = json.loads((base / name).read_text())
        kept = {k: v for k, v in said.items() if k not in ("pad_token", "eos_token", "bos_token", "unk_token") and not k.endswith("_token_id")}
        (base / name).write_text(json.dumps(kept))
    return base


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_text_without_a_token_is_refused_by_its_place(tmp_path, kind, place):
    rm = artefact(tmp_path, then=without_ends, kind=kind)
    assert rm.tokenizer.eos_token_id is None
    texts = [TEXTS[0], TEXTS[0], *TEXTS[:3]]
    assert len(score_texts(rm, texts)) == 5
    texts.insert(place, "")
    why = f"text {place + 1} of the 6 scored together is '': it has no token"
    with pytest.raises(DataError, match=why): score_texts(rm, texts)
    with pytest.raises(DataError, match=why): score_records(rm, [dict(text=texts[:2]), dict(text=texts[2:])])
    with pytest.raises(DataError, match="text 1 of the 1"): score_texts(rm, [""])


def test_a_text_without_a_token_is_the_end_where_there_is_one(tmp_path):
    rm = artefact(tmp_path)
    assert score_texts(rm, ["", TEXTS[0]])[0] == pytest.approx(score_texts(rm, [rm.tokenizer.eos_token])[0], abs=1e-5)


def test_a_text_without_a_token_is_not_learned_from(tmp_path):
    from datasets import Dataset
    from custom_rm.packing import tokenize_records
    rm = artefact(tmp_path, then=without_ends)
    assert len(tokenize_records(Dataset.from_list([dict(text=TEXTS[:2], score=[1., 0.])]), rm.tokenizer, rm.max_length)[0]) == 1
    with pytest.raises(DataError, match="text 2 of 2: it has no token"): tokenize_records(Dataset.from_list([dict(text=[TEXTS[0], ""], score=[1., 0.])]), rm.tokenizer, rm.max_length)
