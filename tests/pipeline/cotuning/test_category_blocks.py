"""Division by the blocks of the curvature, also where rounding left one that is not positive."""

import pytest
import torch

from pipeline.cotuning import category_blocks

DIAGONAL = torch.tensor([[2.0, 3.0, 4.0], [2.0, 3.0, 4.0]])
ROWS = torch.tensor([[[1.0, 0.5, -0.5], [0.2, 0.1, 1.0]], [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
GRADIENT = torch.tensor([[1.0, -2.0, 3.0], [1.0, -2.0, 3.0]])


@pytest.mark.parametrize("form", ["dense", "low rank"])
def test_a_block_that_is_not_positive_is_its_diagonal(form: str) -> None:
    """The first block is positive, the second has -2 in its corner."""
    if form == "dense":
        divide = category_blocks._dense(ROWS.mT @ ROWS, DIAGONAL)
    else:
        divide = category_blocks._low_rank(ROWS, DIAGONAL)
    found = divide(GRADIENT, GRADIENT / DIAGONAL)
    block = torch.diag(DIAGONAL[0]) - ROWS[0].T @ ROWS[0]
    exact = torch.linalg.solve(block, GRADIENT[0])
    torch.testing.assert_close(found[0], exact, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[1], GRADIENT[1] / DIAGONAL[1], rtol=1e-4, atol=1e-5)
