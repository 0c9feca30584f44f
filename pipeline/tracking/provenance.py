"""Which state of the code a run comes from."""

import subprocess
from pathlib import Path


def git_tags(root: Path) -> dict[str, str]:
    """The commit and whether tracked files differ from it; empty outside a repository."""

    def git(*arguments: str) -> str:
        result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
        return result.stdout.strip()

    if not (commit := git("rev-parse", "HEAD")):
        return {}
    dirty = bool(git("status", "--porcelain", "--untracked-files=no", "--", ":!dvc.lock"))
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}
