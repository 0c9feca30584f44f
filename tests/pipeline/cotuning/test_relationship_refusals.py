"""Data from which no relationship can be learned, and the sentence that says so."""

import jaxtyping
import pytest

from pipeline.cotuning.relationship import direct_relationship, fit_relationship
from pipeline.cotuning.reverse import fit_reverse_classifier

DIRECTIONS = pytest.mark.parametrize("direction", ["direct", "reverse"])


@DIRECTIONS
def test_a_class_without_a_training_sample_is_named(make_splits, direction):
    splits = make_splits(0, target=5)
    labels = splits.train_labels.clone()
    labels[(labels == 1) | (labels == 4)] = 0
    message = r"class 1 has no training sample \(classes without any: \[1, 4\]\)"
    with pytest.raises(ValueError, match=message):
        fit_relationship(*splits._replace(train_labels=labels), direction=direction)
    with pytest.raises(ValueError, match=message):
        direct_relationship(splits.train_logits.softmax(dim=1), labels, 5)


@DIRECTIONS
def test_an_empty_training_split_is_refused(make_splits, direction):
    with pytest.raises(ValueError, match="class 0 has no training sample"):
        fit_relationship(*make_splits(0, train=0), direction=direction)


@DIRECTIONS
def test_an_empty_validation_split_is_refused(make_splits, direction):
    with pytest.raises(ValueError, match="needs validation samples, got none"):
        fit_relationship(*make_splits(0, validation=0), direction=direction)


@DIRECTIONS
@pytest.mark.parametrize("split", ["train_labels", "validation_labels"])
@pytest.mark.parametrize(("label", "found"), [(-1, "-1 to 3"), (4, "0 to 4")])
def test_a_label_out_of_range_is_refused(make_splits, direction, split, label, found):
    splits = make_splits(0)
    labels = getattr(splits, split).clone()
    labels[1] = label
    with pytest.raises(ValueError, match=rf"labels must be in \[0, 4\), got {found}"):
        fit_relationship(*splits._replace(**{split: labels}), direction=direction)


@pytest.mark.parametrize("target", [0, 1])
def test_fewer_than_two_classes_are_refused(make_splits, target):
    splits = make_splits(0, target=1)._replace(target_classes=target)
    with pytest.raises(ValueError, match=f"at least 2 target classes are needed, got {target}"):
        fit_relationship(*splits)


@pytest.mark.parametrize("temperature", [0.0, -1.5])
def test_a_temperature_that_is_not_positive_is_refused(make_splits, temperature):
    with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
        fit_relationship(*make_splits(0), temperature)


def test_the_annotations_refuse_other_source_categories_in_the_validation_split(make_splits):
    splits = make_splits(0)
    narrow = splits._replace(validation_logits=splits.validation_logits[:, :11])
    with pytest.raises(jaxtyping.TypeCheckError, match="validation_logits"):
        fit_relationship(*narrow)


@pytest.mark.usefixtures("without_shape_checks")
def test_other_source_categories_in_the_validation_split_are_refused_without_annotations(
    make_splits,
):
    splits = make_splits(0)
    narrow = splits._replace(validation_logits=splits.validation_logits[:, :11])
    with pytest.raises(RuntimeError, match="must match the existing size"):
        fit_relationship(*narrow)


@pytest.mark.usefixtures("without_shape_checks")
def test_another_number_of_labels_is_refused_without_annotations(make_splits):
    splits = make_splits(0)
    probabilities = splits.train_logits.softmax(dim=1)
    validation = splits.validation_logits.softmax(dim=1)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[60, 59\]"):
        fit_reverse_classifier(
            probabilities, splits.train_labels[1:], validation, splits.validation_labels, 4
        )
