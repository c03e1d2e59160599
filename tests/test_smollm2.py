"The real base model in 4-bit on the CPU: scores that depend on nothing but the text."
import pytest
import torch

texts = [f"## Human:\nHow do I keep bread fresh?\n\n## Assistant:\n{a}" for a in (
    "Keep it in a paper bag at room temperature and eat it within three days; freeze what is left, sliced.",
    "In the fridge.", "Bread goes stale because its starch crystallises, fastest just above freezing, so avoid the refrigerator.", "I don't know.")]


@pytest.fixture(scope="module")
def rm():
    from custom_rm.fetch import fetch_model
    from custom_rm.model import RewardModel
    from custom_rm.core import DataError
    try: base = fetch_model("smollm2-135m")
    except DataError as e: pytest.skip(f"no base model here: {e}")
    return RewardModel(base, device="cpu").add_adapter("general")


def alone(rm, text):
    from custom_rm.packing import encode
    ids = torch.tensor(encode([text], rm.tokenizer)["input_ids"])
    with torch.no_grad(): return rm(ids, torch.ones_like(ids))["rewards"]


def test_batch_order_and_padding_side(rm):
    from custom_rm.packing import encode, pad_texts
    from custom_rm.scorer import score_texts
    one = torch.cat([alone(rm, t) for t in texts])
    spread = one.std().item()
    assert spread > 1e-3 # else the bound below would say nothing
    together = torch.tensor(score_texts(rm, texts))
    backwards = torch.tensor(score_texts(rm, texts[::-1])).flip(0)
    batch = pad_texts([encode(texts, rm.tokenizer)], rm.tokenizer.pad_token_id)
    n = batch["attention_mask"].sum(1)
    ids, mask = (torch.stack([row.roll(row.numel() - int(k)) for row, k in zip(batch[key], n)]) for key in ("input_ids", "attention_mask"))
    with torch.no_grad(): left = rm(ids, mask)["rewards"]
    assert rm.trees # the texts above went through shared prefixes
    for other in (together, backwards, left): assert (other - one).abs().max() < 1e-4


def test_mode_changes_nothing(rm):
    "bitsandbytes repacks 4-bit weights on the CPU in evaluation mode; scores and gradients must not notice"
    from custom_rm.scorer import score_texts
    before = alone(rm.train(), texts[0])
    score_texts(rm.eval(), texts)
    assert torch.equal(alone(rm.eval(), texts[0]), before) and torch.equal(alone(rm.train(), texts[0]), before)


def test_reads_the_last_token_though_pad_was_eos(rm):
    from transformers import AutoTokenizer
    original = AutoTokenizer.from_pretrained(rm.base.path)
    assert original.pad_token_id == original.eos_token_id and rm.tokenizer.pad_token_id != rm.tokenizer.eos_token_id
    ended = texts[0] + rm.tokenizer.eos_token * 2 # an end token inside the text must not be taken for padding
    from custom_rm.scorer import score_texts
    together = score_texts(rm, [ended, texts[2] * 3])
    assert abs(together[0] - alone(rm, ended).item()) < 1e-4 and abs(together[0] - alone(rm, texts[0]).item()) > 1e-4


def test_first_loss_is_ln_2(rm):
    from custom_rm.losses import ranking_loss
    rewards = torch.cat([alone(rm, t) for t in texts])
    loss = ranking_loss(rewards[None], torch.tensor([[3., 1., 2., 0.]])).item()
    assert abs(loss / 0.693147 - 1) < .1


def test_save_reload(rm, tmp_path):
    from custom_rm.artefact import load
    from custom_rm.scorer import score_texts
    with torch.no_grad():
        for n, p in rm.named_parameters():
            if "lora_B" in n and p.requires_grad: p.normal_(0, .02, generator=torch.Generator().manual_seed(len(n)))
    before = score_texts(rm, texts)
    again = load(rm.save(tmp_path / "general"), device="cpu")
    assert abs(score_texts(again, texts) - before).max() < 1e-5 and before.std() > 1e-3
