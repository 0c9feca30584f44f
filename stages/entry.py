"""Where `cot` begins: says so where only the method was installed."""

import sys


def main() -> None:
    try:
        from stages.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(
            f"Error: {error.name} is not installed, only the method is; "
            "pip install 'cotuning-pipeline[pipeline]' brings what the cot command needs"
        )
    run()
