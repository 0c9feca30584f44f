import pytest
import torch
import torch.nn.functional as F

from pipeline.artifacts import SplitLogits
from pipeline.params.sections import Calibrate
from pipeline.sources.temperature import find_temperature
from stages.calibrate import judged_predictions

CLASSES = 3


@pytest.fixture
def splits():
    """Source logits three times too sharp, on source images and on target images."""
    generator = torch.Generator().manual_seed(0)

    def draw(count, labels_of):
        logits = 2 * torch.randn(count, 6, generator=generator)
        category = torch.multinomial(F.softmax(logits, dim=1), 1, generator=generator)[:, 0]
        return SplitLogits(3 * logits, labels_of(category), torch.arange(count))

    return {
        "train": draw(900, lambda category: category % CLASSES),
        "validation": draw(600, lambda category: category % CLASSES),
        "source-validation": draw(3000, lambda category: category),
    }


def test_source_images_give_the_temperature_back(splits):
    fitted = find_temperature(Calibrate(method="source-validation"), splits, CLASSES)
    assert fitted.temperature == pytest.approx(3, rel=0.1)


def test_a_fixed_temperature_is_taken_as_it_is(splits):
    fitted = find_temperature(Calibrate(method="fixed", temperature=1.7), splits, CLASSES)
    assert fitted.temperature == 1.7


@pytest.mark.parametrize("method", ["target-likelihood", "source-validation"])
def test_the_likelihood_is_better_after_calibration_than_before(splits, method):
    section = Calibrate(method=method)
    fitted = find_temperature(section, splits, CLASSES)
    before, labels = judged_predictions(section, splits, CLASSES, 1.0)
    after, _ = judged_predictions(section, splits, CLASSES, fitted.temperature)
    assert F.nll_loss(after, labels) < F.nll_loss(before, labels)
    assert float(F.nll_loss(after, labels)) == pytest.approx(fitted.nll, abs=1e-6)
