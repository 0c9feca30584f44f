"""What MLflow runs to serve an exported tagger: sentences in, entities out.

MLflow copies this file into the model, with the modules that it imports of this project; it needs
mlflow, transformers, PyTorch, safetensors, seqeval, NumPy and pandas beside them, and not the
project. It asks no hub: all is in the folder that transformers wrote.
"""

from collections.abc import Sequence
from typing import Any

import mlflow
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel, PythonModelContext
from torch import Tensor

from pipeline.language.batches import TokenSet, ask_by_length, evaluation_token_batches
from pipeline.language.inputs import classifier_logits
from pipeline.language.listing import Sentence
from pipeline.language.spans import Entity, Reading, entities_by_line

BATCH = 32  # parts of sentences
CPU = torch.device("cpu")


class Served(PythonModel):
    """A token classifier with what surrounds it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier, whose labels are the tags, and its tokenizer."""
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        folder, local = context.artifacts["classifier"], {"local_files_only": True}
        self.classifier = transformers.AutoModelForTokenClassification.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, **local
        ).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, **local
        )
        labels = self.classifier.config.id2label
        tags = [labels[label] for label in range(len(labels))]
        longest = context.model_config["longest"]
        self.reading = Reading(tokenizer, longest, tags, tokenizer.pad_token_id)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A row a text: its entities, as pipeline.language.spans.entities_by_line has them.

        Args:
            model_input: column text, a sentence a row, words and punctuation between spaces.

        Raises:
            MlflowException: what stands in a row is no text; the message says which row.
        """
        texts = [require_text(row, text) for row, text in enumerate(model_input["text"])]
        found = entities_by_line(texts, self.entities)
        return pd.DataFrame({"entities": pd.Series(found, dtype=object)})

    def entities(self, sentences: Sequence[Sentence]) -> list[Entity]:
        return self.reading.entities(sentences, lambda tokens: ask_by_length(tokens, self.logits))

    def logits(self, tokens: TokenSet) -> Tensor:
        """[word, tag], batch by batch."""
        batches = evaluation_token_batches(tokens, BATCH, CPU)
        return torch.cat([classifier_logits(self.classifier, inputs) for inputs, _ in batches])


def require_text(row: int, text: Any) -> str:
    """MlflowException where it is none, or has half of a character, which no tokenizer takes."""
    if not isinstance(text, str):
        # pandas has NaN where a request has null.
        is_missing = pd.api.types.is_scalar(text) and pd.isna(text)
        got = "nothing" if is_missing else type(text).__name__
        raise MlflowException(
            f"row {row}: got {got}; expected a text, a sentence a row", BAD_REQUEST
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MlflowException(
            f"row {row}: half of a character (a lone surrogate); expected text of whole ones",
            BAD_REQUEST,
        ) from None
    return text


mlflow.models.set_model(Served())
