"""Cells on images of another size than source_model's."""

import torch

from pipeline.claims.pool import Pool, at_input_size
from pipeline.datasets.batches import ImageSet, Preprocessing, evaluation_batches
from pipeline.training.compute import Compute
from pipeline.training.inference import predict

CPU = Compute(torch.device("cpu"), torch.float32)


def test_the_source_logits_are_those_of_crops_of_that_size(pool: Pool) -> None:
    found = at_input_size(pool, 10, 7, CPU)
    samples = pool.prepared.manifest[pool.prepared.manifest["split"] != "test"]
    rows = samples["row"].to_numpy(copy=True)
    images = ImageSet(pool.prepared.images, rows, rows * 0)
    crops = Preprocessing(10, pool.source.mean, pool.source.std)
    expected, _ = predict(
        pool.source.network(), evaluation_batches(images, crops, 100, CPU.device), CPU
    )
    torch.testing.assert_close(found.logits[rows], expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.logits.isnan(), pool.logits.isnan())
    assert not torch.equal(found.logits[rows], pool.logits[rows])
