"""What the params of every modality have: samples, each a seed that is added to that of all."""

from typing import ClassVar, Self

from pipeline.common.errors import UserError
from pipeline.params.base import Section, Seed
from pipeline.params.sections import Compute, Report, SampledTraining, Tune


class SampledParams(Section):
    """The part of params.yaml that does not depend on the modality."""

    # The package of the stages: where alone the modality of a project is asked for.
    pages: ClassVar[str]

    seed: Seed = 0
    compute: Compute = Compute()
    tune: Tune = Tune()
    fine_tune: SampledTraining = SampledTraining()
    report: Report = Report()

    @property
    def sample(self) -> int:
        """The first of fine_tune.seeds."""
        return self.fine_tune.seeds[0]

    @property
    def sample_seed(self) -> int:
        """Of every draw of that sample: of its data, of heads, batches, crops and flips."""
        return self.seed + self.sample

    def of_sample(self, sample: int | None) -> Self:
        """For a stage that works at this one of fine_tune.seeds; None is the first.

        Raises:
            UserError: it is none of them.
        """
        if sample is None:
            return self
        seeds = self.fine_tune.seeds
        if sample not in seeds:
            raise UserError(f"seed {sample} is none of fine_tune.seeds {list(seeds)}; add it there")
        training = self.fine_tune.model_copy(update={"seeds": (sample,)})
        return self.model_copy(update={"fine_tune": training})
