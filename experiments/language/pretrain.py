"""Pre-train a small BERT on data/corpus.txt; after a kill it goes on from its last checkpoint.

Source: Devlin et al., BERT, NAACL 2019, without the prediction of the next sentence.
"""

import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML
from tokenizers import BertWordPieceTokenizer
from torch import Tensor
from torch.nn import functional as F

from pipeline.common.files import write_aside, write_folder_aside
from pipeline.common.resume import resume_key

CORPUS, MODEL, WORK = Path("data/corpus.txt"), Path("data/model"), Path(".work/pretrain")
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LONGEST = 128  # sub-words that the model can take
IGNORED = -100

log = logging.getLogger(__name__)


class Pretrain(BaseModel):
    """The values of pretrain.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: int
    vocabulary: int
    layers: int
    width: int
    heads: int
    length: int
    batch_size: int
    steps: int
    checkpoint_every: int
    learning_rate: float
    warmup: float
    weight_decay: float
    masked: float


def make_tokenizer(lines: list[str], params: Pretrain) -> Any:
    """A cased word-piece tokenizer that is learned from the text."""
    learned = BertWordPieceTokenizer(lowercase=False)
    learned.train_from_iterator(
        lines, vocab_size=params.vocabulary, special_tokens=MARKS, show_progress=False
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    marks = {f"{name}_token": mark for name, mark in zip(names, MARKS, strict=True)}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=learned._tokenizer, model_max_length=LONGEST, **marks
    )


def pieces_of_text(lines: list[str], tokenizer: Any, length: int) -> Tensor:
    """All sub-words in pieces int64 [piece, length], with a mark at both ends; a rest is lost."""
    encoded = tokenizer(lines, add_special_tokens=False)["input_ids"]
    flat = torch.tensor([sub_word for line in encoded for sub_word in line])
    room = length - 2
    inside = flat[: len(flat) // room * room].reshape(-1, room)
    marks = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    ends = [torch.full((len(inside), 1), mark) for mark in marks]
    return torch.cat([ends[0], inside, ends[1]], dim=1)


def mask(
    pieces: Tensor, share: float, mark: int, words: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Input and labels, both [piece, length]; what is not to be predicted has the label -100."""
    chance = torch.rand(pieces.shape, generator=generator)
    inside = pieces >= len(MARKS)
    chosen = (chance < share) & inside
    labels = pieces.where(chosen, IGNORED)
    other = torch.randint(len(MARKS), words, pieces.shape, generator=generator)
    how = torch.rand(pieces.shape, generator=generator)
    masked = pieces.where(~chosen | (how >= 0.8), mark)
    return masked.where(~chosen | (how < 0.8) | (how >= 0.9), other), labels


def new_model(params: Pretrain, words: int) -> Any:
    torch.manual_seed(params.seed)
    config = transformers.BertConfig(
        vocab_size=words,
        hidden_size=params.width,
        num_hidden_layers=params.layers,
        num_attention_heads=params.heads,
        intermediate_size=4 * params.width,
        max_position_embeddings=LONGEST,
    )
    return transformers.BertForMaskedLM(config)


def predicted_loss(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the chosen places; the head runs on these alone."""
    chosen = labels != IGNORED
    states = model.bert(input_ids=inputs)[0][chosen]
    return F.cross_entropy(model.cls(states), labels[chosen])


def train(model: Any, pieces: Tensor, mark: int, params: Pretrain, checkpoint: Path) -> Any:
    """Each step draws by its own number: a run that was stopped goes on as it would have."""
    optimizer = torch.optim.AdamW(
        model.parameters(), params.learning_rate, weight_decay=params.weight_decay, fused=True
    )
    warmup = round(params.warmup * params.steps)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warmup, params.steps)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    done = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        done = saved.pop("done")
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    model.train()
    words = model.config.vocab_size
    for step in range(done, params.steps):
        torch.manual_seed(params.seed * params.steps + step)
        generator = torch.Generator().manual_seed(params.seed * params.steps + step)
        rows = torch.randint(0, len(pieces), (params.batch_size,), generator=generator)
        loss = predicted_loss(model, *mask(pieces[rows], params.masked, mark, words, generator))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % params.checkpoint_every == 0:
            log.warning("step %d of %d: loss %.3f nats", step + 1, params.steps, loss.item())
            state = {name: part.state_dict() for name, part in parts.items()}
            with write_aside(checkpoint) as aside:
                torch.save(state | {"done": step + 1}, aside)
    return model.eval()


def main() -> None:
    values = YAML(typ="safe").load(Path("pretrain.yaml"))
    params = Pretrain(**values)
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    tokenizer = make_tokenizer(lines, params)
    pieces = pieces_of_text(lines, tokenizer, params.length)
    log.warning("%d pieces of text of %d sub-words", *pieces.shape)
    checkpoint = WORK / f"{resume_key(values, [CORPUS, Path(__file__)], ())}.pt"
    model = new_model(params, len(tokenizer))
    train(model, pieces, tokenizer.mask_token_id, params, checkpoint)
    with write_folder_aside(MODEL) as aside:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    main()
