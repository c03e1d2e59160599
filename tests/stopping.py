"""Run `custom-rm`, and get a signal at a named point: python tests/stopping.py SIGNAL WHEN PATTERN N VERB…

WHEN is "says" (a line on stdout), "notes" (a line of a run's log.jsonl) or "appears" (a file that is about to be renamed into
its place); the Nth that PATTERN is found in sends the process SIGNAL. So a run is stopped at the same point on any machine."""
import os
import re
import signal
import sys

name, when, pattern, n, *words = sys.argv[1:]
left = int(n)


def happens(text):
    "An event; at the one that is waited for the signal arrives"
    global left
    if re.search(pattern, text):
        left -= 1
        if left == 0:
            sys.stdout.flush()
            os.kill(os.getpid(), getattr(signal, name))


class Watched:
    "stdout, whose lines are events"
    def __init__(self, stream): self.stream = stream
    def __getattr__(self, attribute): return getattr(self.stream, attribute)
    def write(self, text):
        written = self.stream.write(text)
        if when == "says" and text.strip(): happens(text)
        return written


def audit(event, arguments):
    if when == "appears" and event == "os.rename": happens(os.fspath(arguments[1]))


sys.stdout = Watched(sys.stdout)
sys.addaudithook(audit)
if when == "notes":
    from custom_rm.stages import Run
    note = Run.note
    def noted(self, **entry):
        note(self, **entry)
        happens(" ".join(f"{key}={value}" for key, value in entry.items()))
    Run.note = noted
from custom_rm.cli import main  # noqa: E402

sys.argv = ["custom-rm", *words]
main()
