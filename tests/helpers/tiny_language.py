"""Masked language models of random weights with a vocabulary of their own, and tagged sentences."""

import random
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

PLACES, NAMES = ("Rome", "Paris", "London", "Oslo"), ("Ann", "Bob", "Eve", "Tom")
FIRMS = ("Acme", "Initech", "Globex")
WORDS = ("in", "it", "rains", "Smith", "sleeps", "they", "bought", "Corp")
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PIECES = ("Glo", "##bex")  # so that a word has two sub-words
VOCABULARY = (*MARKS, *PLACES, *NAMES, *FIRMS[:2], *WORDS, *PIECES)

SMALL: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 32, "max_position_embeddings": 40, "type_vocab_size": 1},
}
DISENTANGLED = SMALL | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
FAMILIES: dict[str, dict[str, Any]] = {
    "Bert": SMALL,
    "Roberta": SMALL,
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "Albert": SMALL | {"embedding_size": 8},
    "Deberta": DISENTANGLED,
    "DebertaV2": DISENTANGLED,
    "DebertaV2 with a new head": DISENTANGLED | {"legacy": False},
    "ModernBert": {name: SMALL[name] for name in list(SMALL)[:4]},
    "Electra": SMALL | {"embedding_size": 8},
}


def make_model(family: str = "Bert", everywhere: bool = True) -> Any:
    """One of AutoModelForMaskedLM, in evaluation mode.

    Args:
        everywhere: biases and norms are random too, so that none can be left out unseen; such a
            model hardly learns.
    """
    torch.manual_seed(0)
    config = getattr(transformers, f"{family.split()[0]}Config")(
        vocab_size=len(VOCABULARY), **FAMILIES[family], pad_token_id=0, cls_token_id=2,
        sep_token_id=3, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    model = transformers.AutoModelForMaskedLM.from_config(config)
    for parameter in model.parameters() if everywhere else ():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def make_tokenizer() -> Any:
    """A word-piece tokenizer."""
    numbers = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = (("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"]))
    tokenizer.post_processor = processors.BertProcessing(*ends)
    marks = ("pad", "unk", "cls", "sep", "mask")
    named = {f"{name}_token": mark for name, mark in zip(marks, MARKS, strict=True)}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=32, **named
    )


def save_model(folder: Path, family: str = "Bert", everywhere: bool = True) -> str:
    """A folder as save_pretrained leaves it, as source_model.name names it."""
    make_model(family, everywhere).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return f"hf:{folder}"


def draw_sentence(rng: random.Random) -> list[tuple[str, str]]:
    """Words with their tags in IOB2."""
    kind = rng.choice(("place", "name", "firms"))
    if kind == "place":
        return [("in", "O"), (rng.choice(PLACES), "B-LOC"), ("it", "O"), ("rains", "O")]
    if kind == "name":
        return [(rng.choice(NAMES), "B-PER"), ("Smith", "I-PER"), ("sleeps", "O")]
    firms = [(rng.choice(FIRMS), "B-ORG"), ("Corp", "I-ORG"), (rng.choice(FIRMS), "B-ORG")]
    return [("they", "O"), ("bought", "O"), *firms]


def write_conll(folder: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Files of four columns, as CoNLL-2003's; counts are of sentences by file name."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in counts.items():
        lines = ["-DOCSTART- -X- -X- O", ""]
        for _ in range(count):
            lines += [f"{word} NN I-NP {tag}" for word, tag in draw_sentence(rng)] + [""]
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder
