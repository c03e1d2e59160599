"Reward models as a reward function in TRL's GRPO: a few real steps on the CPU, whose mean reward rises."
import json

import pytest

pytest.importorskip("trl")


@pytest.mark.parametrize("conversational", [False, True])
def test_mean_reward_rises(tmp_path, conversational):
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import GRPOConfig, GRPOTrainer
    from custom_rm.model import RewardModel
    from custom_rm.scoring import reward_function, Scorer
    from custom_rm.tiny import tiny_base
    base = tiny_base(tmp_path / "tiny", ["## Human:\nSay something.\n\n## Assistant:\nRain falls on the sea."] * 9)
    rm = RewardModel(base, quantize=False, max_length=64)
    for name in ("sea", "land"):
        rm.add_adapter(name)
        with torch.no_grad():  # a taste of its own for each: the heads differ
            for n, p in rm.named_parameters():
                if p.requires_grad and "modules_to_save" in n: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))) * .1)
    judge = reward_function(Scorer(rm), domain_column="domain")
    prompt = lambda i: [dict(role="user", content=f"Say something, {i}.")] if conversational else f"Say something, {i}."
    data = Dataset.from_list([dict(prompt=prompt(i), domain="sea" if i % 4 else "nobody") for i in range(16)])
    tokenizer = AutoTokenizer.from_pretrained(base)
    if conversational: tokenizer.chat_template = "{% for m in messages %}## {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}{% if add_generation_prompt %}## assistant:\n{% endif %}"
    torch.manual_seed(0)
    args = GRPOConfig(output_dir=str(tmp_path / "out"), per_device_train_batch_size=32, num_generations=8, max_completion_length=4, max_steps=50, learning_rate=3e-3, beta=0.0,
                      logging_steps=1, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no", disable_tqdm=True, seed=0, remove_unused_columns=False)
    trainer = GRPOTrainer(model=AutoModelForCausalLM.from_pretrained(base), reward_funcs=judge, args=args, train_dataset=data, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    key = next(k for k in trainer.state.log_history[0] if k.startswith("rewards/") and k.endswith("/mean"))
    curve = [line[key] for line in trainer.state.log_history if isinstance(line.get(key), float) and line[key] == line[key]]  # steps whose rows nobody judges have none
    (tmp_path / "curve.json").write_text(json.dumps(curve))
    assert len(curve) >= 12 and sum(curve[-10:]) > sum(curve[:10]), curve
