"""Which source category a folder of labelled source images stands for."""

from collections.abc import Sequence

from timm.data import ImageNetInfo

from pipeline.errors import UserError


def match_categories(folders: Sequence[str], categories: Sequence[str]) -> list[int]:
    """The index of the source category that each folder name means.

    A folder may bear a category's name, its index, or, for the 1000 of ImageNet, its WordNet id
    (n01440764).

    Raises:
        UserError: a folder bears none of these.
    """
    index = {str(number): number for number in range(len(categories))}
    index |= {name.casefold(): number for number, name in reversed(list(enumerate(categories)))}
    wordnet = ImageNetInfo("imagenet-1k").label_names()
    if len(categories) == len(wordnet):
        index |= {name: number for number, name in enumerate(wordnet)}
    unknown = [folder for folder in folders if folder.casefold() not in index]
    if unknown:
        raise UserError(
            f"prepare_data.source_validation: {len(unknown)} folders are no source category, the "
            f"first is {unknown[0]!r}; name each by category ({categories[0]!r}), index (0 to "
            f"{len(categories) - 1}) or WordNet id"
        )
    return [index[folder.casefold()] for folder in folders]
