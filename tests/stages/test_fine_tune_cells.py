"""Which cells the claims table has, and in which order."""

import itertools

from pipeline.claims.cell import Cell
from pipeline.params.claims_sections import CellSettings, FineTuneCells, Rate
from stages.fine_tune_cells import all_cells

METHODS = ("vanilla", "bss", "co-tuning")
VARIANTS = {"direct": {"direction": "direct"}, "with bss": {"method": "co-tuning+bss"}}
SMALL, LARGE = Rate(images_per_class=20, steps=120), Rate(images_per_class=100, steps=300)
SETTINGS = {
    "vanilla": CellSettings(learning_rate=0.02),
    "bss": CellSettings(method="bss", learning_rate=0.005),
    "co-tuning": CellSettings(method="co-tuning", learning_rate=0.01, source_weight=0.5),
}
WITH_VARIANTS = SMALL.model_copy(update={"variants": tuple(VARIANTS)})


def cells(**changes: object) -> list[Cell]:
    given = {"rates": (SMALL, LARGE), "seeds": (3, 0, 1), "methods": METHODS} | changes
    return all_cells(FineTuneCells(**given), SETTINGS)


def test_every_rate_and_method_has_a_cell_with_every_seed_and_its_own_settings() -> None:
    assert cells() == [
        Cell(method, rate, seed, SETTINGS[method], tested=True)
        for seed, rate, method in itertools.product((3, 0, 1), (SMALL, LARGE), METHODS)
    ]


def test_an_early_end_leaves_fewer_seeds_of_all_rows() -> None:
    found = cells(variants=VARIANTS, rates=(WITH_VARIANTS, LARGE))
    a_seed = len(found) // 3
    for end in range(a_seed, len(found) + 1, a_seed):
        finished = {(cell.rate.images_per_class, cell.row) for cell in found[:end]}
        assert len({cell.seed for cell in found[:end]}) == end // a_seed
        assert finished == {(cell.rate.images_per_class, cell.row) for cell in found}


def test_variants_are_co_tuning_as_tuned_with_what_they_replace() -> None:
    found = cells(variants=VARIANTS, seeds=(0,), rates=(WITH_VARIANTS,))
    variants = {cell.row: cell.settings for cell in found[len(METHODS) :]}
    tuned = SETTINGS["co-tuning"].model_dump()
    assert {name: settings.model_dump() for name, settings in variants.items()} == {
        "direct": tuned | {"direction": "direct"},
        "with bss": tuned | {"method": "co-tuning+bss"},
    }
    assert all(cell.tested for cell in found)


def test_variants_are_trained_at_their_rates_alone() -> None:
    found = cells(variants=VARIANTS, rates=(WITH_VARIANTS, LARGE))
    assert {cell.rate for cell in found if cell.row in VARIANTS} == {WITH_VARIANTS}
    assert {cell.rate for cell in found if cell.row in METHODS} == {WITH_VARIANTS, LARGE}
    assert not [cell for cell in cells(variants=VARIANTS) if cell.row in VARIANTS]


def test_no_two_cells_share_a_name() -> None:
    same_settings = {"lambda 0.5": {"source_weight": 0.5}}
    rate = SMALL.model_copy(update={"variants": (*VARIANTS, *same_settings)})
    found = cells(variants=VARIANTS | same_settings, rates=(rate,))
    assert len({cell.name for cell in found}) == len(found)
