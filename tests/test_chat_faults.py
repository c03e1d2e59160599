"What a base's own template may do to a chat: nothing of it is lost without a word, and the answer begins where its words do."
import json
import re

import pytest
import torch

from custom_rm.core import DataError
from custom_rm.packing import accepted, encode, own_template, rendered
from custom_rm.templates import chat_json, chat_text, merged, message, transcript
from custom_rm.tiny import sum_text, TINY_CHAT, tiny_base, tiny_tokenizer


def say(role, content, **more): return dict(role=role, content=content, **more)


ASKED, RULE = say("user", "What is one plus one?"), say("system", "Be kind.")
CHATML = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
DEAF = ("{% for m in messages %}{% if m.role == 'user' %}<|user|>\n{{ m.content }}<|end|>\n<|assistant|>\n"
        "{% elif m.role == 'assistant' %}{{ m.content }}<|end|>\n{% endif %}{% endfor %}") # as Phi-3's first
LAST = ("{% set rule = messages[0].content if messages[0].role == 'system' else '' %}{% for m in messages %}{% if m.role == 'user' %}"
        "[INST] {{ rule + '\n\n' if loop.last and rule }}{{ m.content }}[/INST]{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}") # as Mistral's
STRICT = ("{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
          "<|{{ m.role }}|>{{ m.content | trim }}{% endfor %}") # as Gemma's
THINKS = CHATML.replace("{{ m.content }}", "{% if m.role == 'assistant' and loop.last and '</think>' not in m.content %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}") # as Qwen3's
STRIPS = ("{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}{% endfor %}"
          "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}") # as DeepSeek-R1's
MODE = CHATML.replace("{{ m.content }}", "{{ m.content.replace('/no_think', '').rstrip() if m.role == 'system' else m.content }}") # as SmolLM3's
ENDS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}{{ eos_token }}"
UNOPENED, COUNTS = CHATML.split("{% if add_gen")[0], "{{ messages | length }} turns\n" + CHATML
NAMED = dict(chatml=CHATML, deaf=DEAF, last=LAST, strict=STRICT, thinks=THINKS, strips=STRIPS, mode=MODE, ends=ENDS, unopened=UNOPENED, counts=COUNTS, tiny=TINY_CHAT)
NO_ANSWER = "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\n{% endif %}{% endfor %}A:"


@pytest.fixture(scope="module")
def tokenizer(): return tiny_tokenizer()


def answer_of(turns, tokenizer, chat):
    "What `encode` takes for the answer"
    out = encode([chat_json(turns)], tokenizer, 999, chat)
    return tokenizer.decode(out["input_ids"][0][out["response_start"][0]:])


# Nothing is lost

@pytest.mark.parametrize("chat", ["deaf", "last"])
def test_a_system_is_read_though_an_answer_quotes_it(tokenizer, chat):
    texts = [chat_json([RULE, ASKED, say("assistant", answer)]) for answer in ("Be kind. It is two.", "It is two.")]
    out = encode(texts, tokenizer, 999, NAMED[chat])
    prompts = [tokenizer.decode(ids[:start]) for ids, start in zip(out["input_ids"], out["response_start"])]
    assert prompts[0] == prompts[1] and "Be kind." in prompts[0]


def test_a_tools_name_in_the_question_is_no_call(tokenizer):
    call = say("assistant", "", tool_calls=[dict(function=dict(name="look", arguments={}))])
    turns = [say("user", "Please look."), call, say("tool", "blue"), say("assistant", "It is blue.")]
    assert '"name": "look"' in rendered(accepted(chat_json(turns), tokenizer, TINY_CHAT), tokenizer, TINY_CHAT)
    nameless = [turns[0], say("assistant", "", tool_calls=[dict(function=dict(arguments=dict(at="sky")))]), *turns[2:]]
    assert "sky" in rendered(accepted(chat_json(nameless), tokenizer, TINY_CHAT), tokenizer, TINY_CHAT)


def test_words_beside_a_call_are_not_lost(tokenizer):
    either = CHATML.replace("{{ m.content }}", "{{ m.tool_calls | tojson if m.tool_calls else m.content }}") # as Llama 3.1's
    call = say("assistant", "I look.", tool_calls=[dict(function=dict(name="look", arguments={}))])
    turns = [ASKED, call, say("tool", "blue"), say("assistant", "It is blue.")]
    assert "I look." in rendered(accepted(chat_json(turns), tokenizer, either), tokenizer, either)
    silent = [ASKED, call | dict(content=""), *turns[2:]]
    assert accepted(chat_json(silent), tokenizer, either) == silent # a call alone is written as the template writes it


def test_a_system_whose_words_the_template_reads_as_a_switch_stays_a_system(tokenizer):
    turns = [say("system", "You are X. /no_think"), ASKED, say("assistant", "Two.")]
    assert accepted(chat_json(turns), tokenizer, MODE) == turns


def test_line_ends_that_a_template_changes_are_no_loss(tokenizer):
    lines = CHATML.replace("{{ m.content }}", "{{ m.content.replace('\\r\\n', '\\n') }}")
    turns = [say("user", "one\r\nplus\r\none?"), say("assistant", "two")]
    assert accepted(chat_json(turns), tokenizer, lines) == turns


def test_a_template_that_leaves_the_answer_out_is_refused(tokenizer):
    with pytest.raises(DataError, match="or leaves one out"): accepted(chat_json([ASKED, say("assistant", "Two.")]), tokenizer, NO_ANSWER)


# Where the answer begins

@pytest.mark.parametrize("chat", NAMED)
@pytest.mark.parametrize("answer", ["It is two.", "<b>two</b>", "<|x", "|", "What is one plus one?", "user", "assistant"])
def test_an_answer_begins_with_its_words(tokenizer, chat, answer):
    own = own_template(with_chat(NAMED[chat]))
    for before in ([ASKED], [say("user", answer)], [RULE, ASKED], [say("user", "hi"), say("assistant", answer), ASKED]):
        assert answer_of([*before, say("assistant", answer)], tokenizer, own).lstrip().startswith(answer)


def test_an_empty_answer_is_only_its_end(tokenizer):
    for chat, end in ((CHATML, "<|im_end|>\n"), (UNOPENED, "<|im_end|>\n"), (STRICT, ""), (DEAF, "<|end|>\n")):
        assert answer_of([ASKED, say("assistant", "")], tokenizer, chat) == end


def test_an_answer_after_an_answer_is_the_last(tokenizer):
    assert answer_of([ASKED, say("assistant", "Hm."), say("assistant", "Two.")], tokenizer, THINKS) == "Two.<|im_end|>\n"


def test_a_thought_belongs_to_its_answer(tokenizer):
    turns = [ASKED, say("assistant", "<think>\nI add.\n</think>\n\nTwo.")]
    assert answer_of(turns, tokenizer, THINKS).startswith("I add.")
    out = encode([chat_json(turns)], tokenizer, 999, STRIPS)
    assert answer_of(turns, tokenizer, STRIPS).strip() == "Two." and out["rewritten"] == [True]


# A system where the template has none

def with_chat(chat): return tiny_tokenizer(chat=chat)


@pytest.mark.parametrize("name", ["deaf", "last", "strict"])
def test_other_tools_hear_the_system_too(name):
    chat = NAMED[name]
    tokenizer = with_chat(chat)
    own, joined = own_template(tokenizer), say("user", f"Be kind.\n\n{ASKED['content']}")
    more = [say("assistant", "Two."), say("user", "Sure?"), say("assistant", "Yes.")]
    for turns in ([RULE, ASKED, *more], [RULE, say("system", "Be brief."), ASKED, *more], [*more[1:], RULE, ASKED, more[0]]):
        theirs = tokenizer.apply_chat_template(turns, chat_template=own, tokenize=False)
        assert accepted(chat_json(turns), tokenizer, own) == turns and theirs == rendered(turns, tokenizer, own)
    theirs = tokenizer.apply_chat_template([RULE, ASKED, more[0]], chat_template=own, tokenize=False)
    assert theirs == tokenizer.apply_chat_template([joined, more[0]], chat_template=chat, tokenize=False)
    plain = [ASKED, *more]
    assert tokenizer.apply_chat_template(plain, chat_template=own, tokenize=False) == tokenizer.apply_chat_template(plain, chat_template=chat, tokenize=False)
    assert tokenizer.apply_chat_template([ASKED], chat_template=own, tokenize=False, add_generation_prompt=True) == tokenizer.apply_chat_template([ASKED], chat_template=chat, tokenize=False, add_generation_prompt=True)


def test_joined_in_the_template_as_in_plain_texts():
    tokenizer = with_chat(DEAF)
    own = own_template(tokenizer)
    for turns in ([RULE, ASKED], [ASKED, RULE], [RULE, RULE, ASKED], [RULE], [say("user", "hi"), say("assistant", "ho"), RULE, ASKED], [ASKED, RULE, ASKED]):
        whole = [*turns, say("assistant", "Two.")]
        assert rendered(whole, tokenizer, own) == rendered(merged(whole), tokenizer, DEAF)


@pytest.mark.parametrize("name", sorted(NAMED.keys() - {"deaf", "last", "strict"}))
def test_a_template_that_writes_a_system_stays_as_it_is(name):
    assert own_template(with_chat(NAMED[name])) == NAMED[name]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    "(reward model on a base whose template has no system, its merged export)"
    from custom_rm.export import merge
    from custom_rm.model import RewardModel
    home = tmp_path_factory.mktemp("deaf")
    preface = "{% if messages[0].role != 'system' %}A chat between a person and a machine.\n{% endif %}" + DEAF
    rm = RewardModel(tiny_base(home / "base", chat=preface, bos=True), quantize=False, template="chat", max_length=200).add_adapter("x").eval()
    with torch.no_grad():
        for n, p in rm.named_parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(n))) * .3)
    rm.save(home / "x")
    merge(home / "x", home / "plain", texts=[sum_text(1, "Two."), sum_text(2, "No.")])
    return rm, home / "plain"


def test_an_export_gives_other_tools_the_same_reward(exported):
    from custom_rm.scoring import Scorer
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    rm, folder = exported
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder).eval()
    chats = [[*before, ASKED, say("assistant", answer)] for before in ([], [RULE], [say("system", "Be rude.")]) for answer in ("Two.", "Be kind.")]
    ours = Scorer(rm).score(chats)
    assert len(set(ours.round(4))) == 6
    for turns, reward in zip(chats, ours):
        inputs = tokenizer.apply_chat_template(turns, return_dict=True, return_tensors="pt")
        with torch.no_grad(): assert float(model(**inputs).logits[0, 0]) == pytest.approx(reward, abs=1e-4)


def test_what_the_card_says_of_long_chats_holds_for_a_template_with_a_preface(exported):
    from transformers import AutoTokenizer
    rm, folder = exported
    names = dict(tokenizer=AutoTokenizer.from_pretrained(folder))
    exec(re.findall(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.S)[0], names)
    for n in range(1, 250, 9): # the last exchange with the preface, and then alone, becomes longer than the limit
        turns = [say("user", "one"), say("assistant", "say " * 50), say("user", "two"), say("assistant", "a" * n)]
        assert names["tokens"](turns) == encode([chat_json(turns)], rm.tokenizer, 200, rm.chat)["input_ids"][0]


# Templates that can't be used, and one that can

def test_a_broken_template_is_refused_in_one_line(tmp_path):
    from custom_rm.model import RewardModel
    for i, (chat, why) in enumerate({"{% for m in messages %}{{ m.content }": "unexpected", "{{ raise_exception('not today') }}": "not today", "{{ messages[0].content.nope() }}": "no attribute"}.items()):
        with pytest.raises(DataError, match=f"{why}.*set base.template to dsp"): RewardModel(tiny_base(tmp_path / str(i), chat=chat), quantize=False, template="chat")


def test_several_templates():
    tokenizer = with_chat(dict(rag=CHATML, tool_use=CHATML))
    with pytest.raises(DataError, match=r"several chat templates \(rag, tool_use\) and calls none of them default; choose dsp"): own_template(tokenizer)
    assert own_template(with_chat(dict(default=CHATML, tool_use=TINY_CHAT))) == CHATML


def test_a_template_that_wants_a_system(tmp_path):
    from custom_rm.model import RewardModel
    from custom_rm.scoring import Scorer
    wants = "{% if messages[0].role != 'system' %}{{ raise_exception('a system first') }}{% endif %}" + CHATML
    rm = RewardModel(tiny_base(tmp_path / "base", chat=wants, bos=True), quantize=False, template="chat").add_adapter("x")
    assert len(Scorer(rm).score([[RULE, ASKED, say("assistant", "Two.")]])) == 1
    with pytest.raises(DataError, match="doesn't take turns of user, assistant"): Scorer(rm).score([[ASKED, say("assistant", "Two.")]])


# Calls of tools, as files have them

CALLS = dict(listed=dict(tool_calls=[dict(name="look")]), json=dict(tool_calls=json.dumps([dict(name="look")])), alone=dict(tool_calls=dict(name="look")), older=dict(function_call=dict(name="look")))


@pytest.mark.parametrize("way", CALLS)
def test_calls_of_tools(tokenizer, way):
    written = CALLS[way]
    turns = [ASKED, dict(role="assistant", content=None, **written), say("tool", "blue"), say("assistant", "Blue.")]
    text = chat_text(turns, "row", "chat")
    assert json.loads(text)[1]["tool_calls"] == [dict(name="look")] and '{"name": "look"}' in chat_text(turns, "row")
    assert accepted(text, tokenizer, TINY_CHAT)[1] == say("assistant", '[{"name": "look"}]')


def test_no_calls_and_no_list_of_calls():
    for nothing in (None, [], "", "[]", "null"): assert message(dict(role="assistant", content="Hi", tool_calls=nothing), "row") == say("assistant", "Hi")
    for wrong in ("look", ["look"], 3):
        with pytest.raises(DataError, match="row: a message's tool_calls are .*give a list of objects"): message(dict(role="assistant", content="", tool_calls=wrong), "row")


# Somebody else's template

def test_marks_that_somebody_talks_about_stay():
    words = "What does <s>one</s> two mean?", "It is </s> struck <|im_end|> out."
    assert transcript("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n".format(*words)) == [say("user", words[0]), say("assistant", words[1])]
    assert transcript("<s>[INST] {} [/INST] {} </s>".format(*words)) == [say("user", words[0]), say("assistant", words[1])]


def test_ends_of_turns_are_no_words():
    for text in ("<|system|>\nA</s>\n<|user|>\nB</s>\n<|assistant|>\nC</s>", "<｜begin▁of▁sentence｜>A<｜User｜>B<｜Assistant｜>C<｜end▁of▁sentence｜>", "<|im_start|>system\nA<|im_end|>\n<|im_start|>user\nB<|im_end|>\n<|im_start|>assistant\nC<|im_end|>\n<|endoftext|>",
                 "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nB<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nC<|eot_id|><|end_of_text|>"):
        assert transcript(text) == [say("system", "A"), say("user", "B"), say("assistant", "C")]
