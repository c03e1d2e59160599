"""A policy that learns to please a reader: `python bench/grpo.py ARTEFACT` writes results/use/grpo.json and its figure.

TRL's GRPO trains a LoRA on the small language model with a customized reward model as its only reward. Few steps, short answers: it shows that the reward
function is one, not how good a policy can become.
"""
import argparse
import tempfile
from datetime import date
from pathlib import Path

PROMPTS = ["How should one begin the day?", "What makes a good meeting?", "Why do people travel?", "How do you choose a book?", "What is a garden for?", "How do I learn to cook?", "Why is sleep important?", "What is worth saving money for?"]

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("artefact", type=Path)
    p.add_argument("--policy", default="smollm2-135m")
    p.add_argument("--steps", type=int, default=40)
    p.add_argument("--tokens", type=int, default=24)
    p.add_argument("--learning-rate", type=float, default=5e-4)
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "use" / "grpo.json")
    a = p.parse_args()
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import GRPOConfig, GRPOTrainer
    from custom_rm.evaluate import write_report
    from custom_rm.fetch import fetch_model
    from custom_rm.core import versions
    from custom_rm.trunk import default_device, device_name
    from custom_rm.plots import new_axes
    from custom_rm.scoring import reward_function
    path = fetch_model(a.policy).path
    data = Dataset.from_list([dict(prompt=[dict(role="user", content=PROMPTS[i % len(PROMPTS)])]) for i in range(64)])
    config = GRPOConfig(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=16, num_generations=8, max_completion_length=a.tokens, max_steps=a.steps, learning_rate=a.learning_rate, beta=0.0,
                        lr_scheduler_type="constant", logging_steps=1, use_cpu=default_device().type == "cpu", bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no", disable_tqdm=True, seed=0)
    trainer = GRPOTrainer(model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), reward_funcs=reward_function(a.artefact), args=config, train_dataset=data,
                          processing_class=AutoTokenizer.from_pretrained(path), peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainer.remove_callback(PrinterCallback); trainer.train()
    key = next(k for k in trainer.state.log_history[0] if k.startswith("rewards/") and k.endswith("/mean"))
    curve = [line[key] for line in trainer.state.log_history if key in line]
    quarter = max(1, len(curve) // 4)
    first, last = sum(curve[:quarter]) / quarter, sum(curve[-quarter:]) / quarter
    print(f"mean reward of the first quarter {first:.3f}, of the last {last:.3f}")
    a.out.parent.mkdir(parents=True, exist_ok=True)
    write_report(a.out, dict(curve=curve, first_quarter=first, last_quarter=last, artefact=a.artefact.name, policy=a.policy, steps=a.steps, device=device_name(default_device()), versions=versions(), date=str(date.today())))
    figure, ax = new_axes(5.5, 3.4)
    ax.plot(range(1, len(curve) + 1), curve, color="#0072B2", alpha=.3); ax.plot(range(1, len(curve) + 1), [sum(curve[max(0, i - 5):i + 1]) / len(curve[max(0, i - 5):i + 1]) for i in range(len(curve))], color="#0072B2", lw=2)
    ax.set(xlabel="GRPO step", ylabel=f"mean reward by {a.artefact.name}"); figure.savefig(a.out.with_suffix(".png"), dpi=110)
