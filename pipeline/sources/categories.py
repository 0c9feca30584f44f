"""Which source category a folder of labelled source images stands for."""

from collections import Counter
from collections.abc import Sequence

from timm.data import ImageNetInfo

from pipeline.common.errors import UserError


def match_categories(folders: Sequence[str], categories: Sequence[str]) -> list[int]:
    """The index of the source category that each folder's name, or label of a file, means.

    It may be a category's name, its index, or, for the 1000 of ImageNet, its WordNet id
    (n01440764). Case counts only where it tells two categories apart (Cardigan is a dog, cardigan
    a garment).

    Raises:
        UserError: one is none of these.
    """
    exact = {name: number for number, name in enumerate(categories)}
    spellings = Counter(name.casefold() for name in categories)
    index = {str(number): number for number in range(len(categories))}
    index |= {
        name.casefold(): number for name, number in exact.items() if spellings[name.casefold()] == 1
    }
    wordnet = ImageNetInfo("imagenet-1k").label_names()
    if len(categories) == len(wordnet):
        index |= {name: number for number, name in enumerate(wordnet)}
    found = [exact.get(folder, index.get(folder.casefold())) for folder in folders]
    unknown = [folder for folder, number in zip(folders, found, strict=True) if number is None]
    if unknown:
        raise UserError(
            f"prepare_data.source_validation: {len(unknown)} folders or labels are no source "
            f"category, the first is {unknown[0]!r}; name each by category ({categories[0]!r}), "
            f"index (0 to {len(categories) - 1}) or WordNet id"
        )
    return [number for number in found if number is not None]
