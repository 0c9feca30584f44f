"""What masked language models know of the types of entities, from one pass of each.

The classifier g of the reverse way is not among the scores: it would have to be fitted to each
model's vocabulary, and it ranks nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.cotuning.diagnostics import leep_log_predictor, nce_score
from pipeline.cotuning.folds import stratified_folds
from pipeline.cotuning.linear_probe import FOLDS, Folds
from pipeline.cotuning.transferability import h_score, log_maximum_evidence
from pipeline.language.artifacts import PreparedText
from pipeline.language.batches import TokenSet
from pipeline.language.extraction import evenly_spread, spread, states_at_kept
from pipeline.language.folds import keep_needed, rarest_groups
from pipeline.language.learning import CHUNK, SPLITS, probabilities_by_chunk, sums_by_type
from pipeline.language.listing import Sentence
from pipeline.language.source import load_language_model, load_tokenizer
from pipeline.language.tag_schemes import type_of, types_of
from pipeline.language.tokens import tokenise
from pipeline.sources.ranking import Candidate, CommonScores, score_probe
from pipeline.training.compute import Compute
from pipeline.tuning.folds import Fold

# Of entities, and so many others: a probe of 768 features and five classes takes 40 s then.
MOST_WORDS = 4000


@dataclass(frozen=True)
class WordSample:
    """Words that all models are compared on, whatever their tokenizers make of them.

    Attributes:
        sentences: which have such words.
        owners: the place of each word's sentence among these, [word], in rising order.
        places: of each word in its sentence, [word].
        labels: 0 outside of entities, else 1 + the number of the type, [word].
        tags: in label order.
    """

    sentences: Sequence[Sentence]
    owners: Tensor
    places: Tensor
    labels: Tensor
    tags: Sequence[str]

    @property
    def types(self) -> int:
        """How many there are."""
        return len(types_of(self.tags))

    def folds(self) -> Folds:
        """Five, in which no sentence has words on both sides, stratified by the rarest label of
        each sentence; every label is among what is kept.
        """
        has = torch.zeros(len(self.sentences), self.types + 1, dtype=torch.bool)
        has[self.owners, self.labels] = True
        dealt = (Fold(*fold, seed=0) for fold in stratified_folds(rarest_groups(has), FOLDS))
        mended = (keep_needed(fold, has) for fold in dealt)
        return [
            (self._words_of(fold.kept), self._words_of(fold.held_out))
            for fold in mended
            if len(fold.held_out)
        ]

    def _words_of(self, sentences: Tensor) -> Tensor:
        return torch.isin(self.owners, sentences).nonzero()[:, 0]


def sample_words(prepared: PreparedText) -> WordSample:
    """Of the training and validation sentences all words of entities and as many outside of them,
    or MOST_WORDS of each, evenly spread.

    Raises:
        UserError: no sentence can be held out, or there is no word outside.
    """
    rows = [int(row) for split in SPLITS for row in prepared.rows(split)]
    number = {name: place for place, name in enumerate(("", *prepared.types))}
    every = torch.tensor(
        [
            (row, place, number[type_of(tag)])
            for row in sorted(rows)
            for place, tag in enumerate(prepared.sentences[row].tags)
        ]
    )
    entities, outside = every[every[:, 2] > 0], every[every[:, 2] == 0]
    entities = entities[evenly_spread(entities[:, 2], MOST_WORDS)]
    outside = outside[spread(len(outside), len(entities))]
    chosen = torch.cat([entities, outside])
    numbers, owners = chosen[:, 0].unique(return_inverse=True)
    order = (owners * len(every) + chosen[:, 1]).argsort()
    sentences = [prepared.sentences[row] for row in numbers.tolist()]
    words = owners[order], chosen[order, 1], chosen[order, 2]
    sample = WordSample(sentences, *words, prepared.tags)
    if not len(outside) or not sample.folds():
        raise UserError(
            f"{len(rows)} training and validation sentences with {len(outside)} words outside of "
            "entities are too few to hold some out; raise prepare_data.sentences"
        )
    return sample


@dataclass(frozen=True)
class WordScores(CommonScores):
    """Of one source model on words: the probe tells types and outside apart, the other scores are
    of the words of entities alone, on which the source head is taught.

    Attributes:
        words_per_second: of the pass through the backbone, of the sentences that have such words.
        parameters: in millions.
        categories: sub-words of the vocabulary.
        words: that were compared.
    """

    words_per_second: float
    parameters: float
    categories: int
    words: int


def score_words(
    candidate: Candidate, sample: WordSample, longest: int, batch_size: int, compute: Compute
) -> WordScores:
    """One pass over the sentences of the sample, and what it tells.

    Args:
        longest: part of a sentence that enters at once, in sub-words.

    Raises:
        UserError: the model cannot be loaded, or takes fewer sub-words.
    """
    source, tokenizer = load_language_model(candidate.name), load_tokenizer(candidate.name)
    store = tokenise(sample.sentences, sample.tags, tokenizer, longest)
    # Parts of like length enter together; of those without a sign to fill up with any will do.
    parts = store.part_lengths.argsort(stable=True)
    tokens = TokenSet(store, parts, tokenizer.pad_token_id or 0)
    backbone = source.backbone.to(compute.device)
    begin = time.perf_counter()
    states = sampled_states(backbone, tokens, sample, batch_size, compute)
    seconds = time.perf_counter() - begin
    # After the pass: a head that shares its weights with the embeddings went with them.
    head = source.head.cpu().eval()
    own = sample.labels > 0
    entities, types = states[own], sample.labels[own] - 1
    leep, nce = vocabulary_scores(head, entities, types, sample.types)
    parameters = nn.ModuleList([source.backbone, head]).parameters()  # what is shared once
    return WordScores(
        **score_probe(states, sample.labels, sample.types + 1, sample.folds()),
        logme=log_maximum_evidence(entities, types, sample.types),
        leep=leep,
        nce=nce,
        h_score=h_score(entities, types, sample.types),
        words_per_second=len(store.words) / seconds,
        parameters=sum(parameter.numel() for parameter in parameters) / 1e6,
        categories=len(source.categories),
        words=len(sample.labels),
    )


def sampled_states(
    backbone: nn.Module, tokens: TokenSet, sample: WordSample, batch_size: int, compute: Compute
) -> Tensor:
    """States [word, feature] of the words of a sample; 0 where a tokenizer made nothing of one.

    Args:
        tokens: all parts of the sample's sentences, in any order.
    """
    store, longest = tokens.store, max(len(one.tokens) for one in sample.sentences)
    parts = store.parts_of_words(torch.arange(len(store.words)))
    stored = store.sentences[parts].long() * longest + store.words
    wanted = sample.owners * longest + sample.places
    words = torch.isin(stored, wanted).nonzero()[:, 0]
    found = states_at_kept(backbone, tokens, words, batch_size, compute)
    passed = tokens.word_places[torch.isin(tokens.word_places, words)]
    states = found.new_zeros(len(wanted), found.shape[1])
    states[torch.searchsorted(wanted, stored[passed])] = found
    return states


def vocabulary_scores(
    head: nn.Module, states: Tensor, types: Tensor, count: int
) -> tuple[float, float]:
    """LEEP and NCE, in nats, of the head's predictions at temperature 1, as leep_score and
    nce_score give them; the predictions of CHUNK words are held at once.

    Args:
        states: [word, feature].
        types: [word], in [0, count).
    """
    by_type = sums_by_type(head, states, types, count, 1.0)
    conditional = by_type / by_type.sum(dim=0).clamp_min(torch.finfo(by_type.dtype).tiny)
    likelihoods, most_probable = [], []
    chunks = probabilities_by_chunk(head, states, 1.0)
    for probabilities, own in zip(chunks, types.split(CHUNK), strict=True):
        predicted = leep_log_predictor(probabilities, conditional)
        likelihoods.append(predicted.gather(1, own[:, None])[:, 0])
        most_probable.append(probabilities.argmax(dim=1))
    # NCE reads of a prediction its most probable word alone: few of the vocabulary are one.
    _, words = torch.cat(most_probable).unique(return_inverse=True)
    nce = nce_score(F.one_hot(words).double(), types, count)
    return float(torch.cat(likelihoods).mean()), nce
