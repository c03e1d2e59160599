"A head that learns at a rate of its own: what moves, what does not, and that a training goes on where it stopped."
import json

import numpy as np
import pytest
import torch
from test_cheap import recipe, trained

from custom_rm.core import DataError
from custom_rm.packing import tokenize_records
from custom_rm.scorer import score_texts
from custom_rm.tiny import sum_text
from custom_rm.trainer import RewardTrainer, training_arguments

pytestmark = pytest.mark.usefixtures("own_cache")


def moved(rm, home, rate: float, optim: str, steps=1) -> dict:
    "Name → how far a training moved a weight"
    from datasets import Dataset
    from transformers import PrinterCallback
    records = Dataset.from_list([dict(text=[sum_text(i, f"{i}!!!"), sum_text(i, f"{i}.")], score=[1., 0.]) for i in range(4)])
    args = training_arguments(home, rm, steps, batch_size=4, warmup=0, lr_scheduler_type="constant", learning_rate=1e-3, optim=optim, save_strategy="no")
    trainer = RewardTrainer(rm, args, tokenize_records(records, rm.tokenizer)[0], head_rate=rate)
    trainer.remove_callback(PrinterCallback)
    before = {name: w.clone() for name, w in rm.weights("x").items()}
    trainer.train()
    return {name: w - before[name] for name, w in rm.weights("x").items()}


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
def test_only_the_head_goes_further(place, tmp_path, optim):
    from custom_rm.model import LoRA, RewardModel
    def fresh():
        torch.manual_seed(0)
        return RewardModel(place / "tiny", quantize=False, lora=LoRA(4, 8), device="cpu", max_length=64, pooling="mean").add_adapter("x")
    plain, fast = (moved(fresh(), tmp_path / str(rate), rate, optim) for rate in (1., 7.))
    heads = [name for name in plain if "lora_" not in name]
    assert heads and any(plain[name].abs().max() > 0 for name in plain if "lora_" in name)
    for name in plain: assert torch.allclose(fast[name], plain[name] * (7 if name in heads else 1), rtol=2e-4, atol=1e-8), name


def test_a_second_training_has_the_same_rates(place, tmp_path):
    "`train` asks for an optimizer each time; what is there is left as it is"
    from custom_rm.model import RewardModel
    rm = RewardModel(place / "tiny", quantize=False, device="cpu", max_length=64).add_adapter("x")
    trainer = RewardTrainer(rm, training_arguments(tmp_path, rm, 1, save_strategy="no"), head_rate=10)
    for _ in range(3): assert [g["lr"] for g in trainer.create_optimizer().param_groups] == [2e-4, 2e-3]


@pytest.mark.parametrize("sharing", ["apart", "joint"])
def test_a_stopped_training_goes_on(place, tmp_path, monkeypatch, sharing):
    changes = dict(general__head_rate=10, custom__head_rate=5, custom__epochs=3, custom__sharing=sharing, custom__domains=["loud", "quiet"])
    _, whole, _ = trained(place, tmp_path / "whole", **changes)
    steps, step = [], RewardTrainer.training_step
    def until(self, *args, **kwargs):
        steps.append(self.stage)
        if steps.count("custom.") == 5: raise KeyboardInterrupt
        return step(self, *args, **kwargs)
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(RewardTrainer, "training_step", until)
        trained(place, tmp_path / "parts", **changes)
    assert list(tmp_path.glob("parts/**/checkpoint-*/optimizer.pt"))
    _, parts, _ = trained(place, tmp_path / "parts", **changes)
    texts = [sum_text(i, "Yes!!!") for i in range(5)]
    assert np.abs(score_texts(whole, texts, ["general", "loud", "quiet"]) - score_texts(parts, texts, ["general", "loud", "quiet"])).max() < 1e-5


def test_a_run_of_before_holds(place, tmp_path):
    "A card that doesn't say the head's rate was trained with 1"
    trained(place, tmp_path)
    for name in ("general", "loud"):
        file = tmp_path / name / "reward_model.json"
        card = json.loads(file.read_text())
        for group in ("general", "custom"): card["recipe"].get(group, {}).pop("head_rate", None)
        file.write_text(json.dumps(card))
    said = trained(place, tmp_path)[2]
    assert sum("is there already" in line for line in said) == 2
    with pytest.raises(DataError, match="head_rate"): trained(place, tmp_path, custom__head_rate=3)


@pytest.mark.parametrize("rate", [0, -1, "fast", float("inf"), float("nan")])
def test_rates_that_are_none(place, rate):
    with pytest.raises(DataError, match="head_rate"): recipe(place, custom__head_rate=rate)


@pytest.mark.parametrize("general, custom, rate", [("head", {}, 10), ("lora", {}, 1), ("head", dict(start="base"), 1), ("head", dict(method="head"), 1), ("head", dict(head_rate=2), 2)])
def test_what_is_left_open(place, general, custom, rate):
    "Adapters above a head that was fitted get a faster one, and a run says so"
    from custom_rm.runs import defaults_taken
    made = recipe(place, general__method=general, **{f"custom__{key}": value for key, value in custom.items()})
    assert (made.general.head_rate, made.custom.head_rate) == (1, rate)
    assert ("custom.head_rate 10" in defaults_taken(made)) == (rate == 10)


def test_nothing_was_fitted_so_nothing_is_faster():
    "A published model that is kept as it is, and a recipe without general data"
    from custom_rm.recipes import CustomConfig, GeneralConfig, settle_custom
    for general in (GeneralConfig(method="head", start="someone/a-reward-model"), GeneralConfig(method="head")):
        assert settle_custom(CustomConfig(domains=["a", "b"], train="x.json"), general).head_rate == 1
    assert settle_custom(CustomConfig(), GeneralConfig(method="head", train=dict(x="x.json"))).head_rate == 1, "no domains: nobody to be faster"


def test_what_diverged_names_both_rates(place, tmp_path):
    from custom_rm.model import RewardModel
    rm = RewardModel(place / "tiny", quantize=False, device="cpu", max_length=64).add_adapter("x")
    def said(rate):
        trainer = RewardTrainer(rm, training_arguments(tmp_path, rm, 1, save_strategy="no"), stage="custom.", head_rate=rate)
        with pytest.raises(DataError) as e: trainer.check_finite("weight", [torch.tensor(float("inf"))], 3)
        return str(e.value)
    assert "lower custom.learning_rate (it is 0.0002) or custom.head_rate (it is 10)" in said(10)
    assert "lower custom.learning_rate (it is 0.0002);" in said(1)
