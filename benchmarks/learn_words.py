"""Time and memory of learning a relationship of the size of CoNLL-2003 with bert-base-cased.

    python benchmarks/learn_words.py [--train 23500] [--validation 8600]

States and head are random: it is their sizes that count.
"""

import argparse
import resource
import time

import torch
from torch import nn

from pipeline.language.extraction import EntityStates
from pipeline.language.learning import learn_word_relationship
from pipeline.params.language_sections import FitWords

WORDS, WIDTH, TYPES = 28996, 768, 4


def make_head() -> nn.Module:
    """As BERT's, with words as frequent as in a language."""
    decoder = nn.Linear(WIDTH, WORDS)
    decoder.bias.data = -torch.arange(1, WORDS + 1).log()
    decoder.weight.data *= 4
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH), decoder)


def make_states(count: int, centres: torch.Tensor) -> EntityStates:
    types = torch.randint(0, TYPES, (count,))
    return EntityStates(
        centres[types] + 1.5 * torch.randn(count, WIDTH), types, torch.arange(count)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=23500)
    parser.add_argument("--validation", type=int, default=8600)
    given = parser.parse_args()
    torch.manual_seed(0)
    centres = torch.randn(TYPES, WIDTH)
    states = {split: make_states(count, centres) for split, count in vars(given).items()}
    start = time.monotonic()
    learn_word_relationship(make_head(), states, TYPES, 1.0, FitWords())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{time.monotonic() - start:.0f} s, {peak:.2f} GB at most")


if __name__ == "__main__":
    main()
