"`python tests/forms/table.py [FOLDER] [--why]`: what `custom-rm convert` makes of every file of a folder."
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from forms.make import binary # noqa: E402
from forms.meaning import judge, read_truth # noqa: E402

HERE = Path(__file__).parent
HEAD = ("file", "shape", "read as", "comparisons", "ties", "people", "verdict")


def lines(folder: Path):
    "One judgement per file"
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as out:
        if folder.resolve() == HERE: binary(Path(made))
        for name, truth in read_truth(folder).items():
            path = folder / name if (folder / name).exists() else Path(made) / name
            yield judge(path, truth, Path(out))


def main() -> None:
    names = [arg for arg in sys.argv[1:] if not arg.startswith("--")]
    found = []
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    for line in lines(Path(names[0]) if names else HERE):
        found.append(line.verdict)
        cells = (line.file, line.shape, line.read_as, line.comparisons, line.ties, line.people, line.verdict)
        print("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |", flush=True)
        if line.why and "--why" in sys.argv: print(f"    {line.why}")
    print(f"{len(found)} files:", ", ".join(f"{n} {verdict}" for verdict, n in Counter(found).most_common()))
    sys.exit("wrong" in found)


if __name__ == "__main__": main()
