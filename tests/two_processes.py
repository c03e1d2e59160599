"""Trains a tiny model, stops it half-way, resumes it: one process, or several started by a launcher.
`python -m torch.distributed.run --nproc_per_node 2 tests/two_processes.py FOLDER [cuda]` writes FOLDER/curves.json; FOLDER holds the base `tiny`."""
import json
import os
import sys
from pathlib import Path


def run(folder: Path, quantize: bool, device: str = "cpu") -> dict:
    "Curve of a training that was stopped and resumed, and what it learned; without four bits, that of an unbroken one too"
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from custom_rm.model import RewardModel
    from custom_rm.packing import tokenize_records
    from custom_rm.tiny import sum_text
    from custom_rm.trainer import last_checkpoint, RewardTrainer, training_arguments

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs): control.should_training_stop = state.global_step == 3

    def train(name: str, stopped: bool = False):
        rm = RewardModel(folder / "tiny", quantize, device=device).add_adapter("x")
        texts = [[sum_text(i, a) for a in (f"{i+1}!!!", f"{i+1}.", f"It is {i+1}.")] for i in range(24)]
        tokens, _ = tokenize_records(Dataset.from_list([dict(text=t, score=[1., 0., 0.]) for t in texts]), rm.tokenizer)
        home = folder / f"{name}-{quantize}-{os.environ.get('WORLD_SIZE', 1)}"
        args = training_arguments(home, rm, 5, learning_rate=1e-2, batch_size=4, checkpoints=5, evaluations=1)
        trainer = RewardTrainer(rm, args, tokens.select(range(18)), dict(sums=tokens.select(range(18, 24))), budget=40, centring=.1, callbacks=[Stop()] * stopped)
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_checkpoint(home))
        return rm, trainer

    def curve(trainer): return [[line.get(k) for k in ("ranking_loss", "centring_loss", "accuracy", "margin", "grad_norm", "eval_sums_loss", "eval_sums_accuracy")] for line in trainer.state.log_history[:-1]]
    train("broken", stopped=True)
    resumed, trainer = train("broken")
    weights = {k: v.tolist() for k, v in resumed.weights("x").items()}
    found = dict(resumed=curve(trainer), weights=weights, wrapped=type(trainer.model_wrapped).__name__)
    if quantize: return found # to be resumed is another matter than to be quantized
    rm, unbroken = train("unbroken")
    return found | dict(unbroken=curve(unbroken), apart=max(float((v - rm.weights("x")[k]).abs().max()) for k, v in resumed.weights("x").items()))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = {str(quantize): run(folder, quantize, *sys.argv[2:]) for quantize in (False, True)}
    if os.environ.get("RANK", "0") == "0": (folder / "curves.json").write_text(json.dumps(found))
