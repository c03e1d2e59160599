"""The repository's address: `python docs/address.py https://github.com/OWNER/NAME` sets it in settings.ini, and everything that names it follows.

Badges, links, install lines and the site's address all hold the address of settings.ini; this rewrites it in every text file of the repository.
"""
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).parent.parent
SKIPPED = {".git", "_docs", "_proc", "_site_src", ".npm", "runs", "__pycache__", "build", "dist", ".venv"}


def settings(folder: Path = root) -> dict:
    ini = ConfigParser(delimiters=["="], interpolation=None)
    ini.read(folder / "settings.ini", encoding="utf-8")
    return ini["DEFAULT"]


def parsed(url: str) -> tuple[str, str]:
    "Owner and name of a repository"
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?", url)
    if not found: sys.exit(f"{url}: is not the address of a repository; give https://github.com/OWNER/NAME")
    return found[1], found[2]


def changes(folder: Path, owner: str, name: str) -> list[tuple[str, str]]:
    "What stands for the old address, longest first, with what stands for the new one"
    old = settings(folder)
    user, repo = old["user"], old["repo"]
    return [
        (f"{user}/{repo}", f"{owner}/{name}"),  # github.com/…, colab.research.google.com/github/…, git+https://…
        (f"{old['doc_host']}{old['doc_baseurl']}", f"https://{owner}.github.io/{name}"),
        (old["doc_host"], f"https://{owner}.github.io"),
        (f"'doc_baseurl': '{old['doc_baseurl']}'", f"'doc_baseurl': '/{name}'"),  # nbdev's index of names
        (f"{user}@users.noreply.github.com", f"{owner}@users.noreply.github.com"),
    ]


def texts(folder: Path) -> list[Path]:
    "Every text file of the repository; where there is no git, every file that is not built"
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=folder, capture_output=True, text=True)
    if done.returncode == 0: paths = [folder / line for line in done.stdout.splitlines()]
    else: paths = [p for p in folder.rglob("*") if not SKIPPED & set(p.relative_to(folder).parts)]
    return [p for p in paths if p.is_file() and not p.is_symlink() and b"\0" not in p.read_bytes()[:4096]]


def move(folder: Path, url: str) -> int:
    "Set the address everywhere; the number of files that changed"
    owner, name = parsed(url)
    swaps, changed = changes(folder, owner, name), 0
    for path in texts(folder):
        try: before = path.read_text(encoding="utf-8")
        except UnicodeDecodeError: continue
        after = before
        for old, new in swaps: after = after.replace(old, new)
        if path == folder / "settings.ini":
            for key, value in dict(repo=name, user=owner, git_url=f"https://github.com/{owner}/{name}", doc_host=f"https://{owner}.github.io", doc_baseurl=f"/{name}").items():
                after = re.sub(rf"^{key} = .*$", f"{key} = {value}", after, flags=re.M)
        if after != before: path.write_text(after, encoding="utf-8"); changed += 1
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2: sys.exit("usage: python docs/address.py https://github.com/OWNER/NAME")
    print(f"{move(root, sys.argv[1])} files now name {sys.argv[1]}")
