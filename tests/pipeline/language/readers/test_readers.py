"""Files of tokens and tags as published, and what of them is refused, by file and line."""

import json

import pytest

from pipeline.common.errors import UserError
from pipeline.language.readers.recognition import is_text, recognise
from pipeline.language.readers.registry import list_text

IOB1 = """\
-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
British JJ I-NP B-MISC
call NN I-NP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
"""
EXPECTED = [
    (("EU", "rejects", "German", "British", "call"), ("B-ORG", "O", "B-MISC", "B-MISC", "O")),
    (("Peter", "Blackburn"), ("B-PER", "I-PER")),
]


def read(sentences):
    return [(one.tokens, one.tags) for one in sentences]


def test_conll_2003_as_its_authors_tag_it(tmp_path):
    (tmp_path / "eng.train").write_text(IOB1)
    (tmp_path / "eng.testa").write_text(IOB1)
    listing = list_text("conll", tmp_path, "iob1")
    assert read(listing.sentences) == EXPECTED * 2
    assert list(listing.splits) == ["train"] * 2 + ["validation"] * 2
    assert listing.types == ("MISC", "ORG", "PER")
    assert listing.sentences[1].place == f"{tmp_path}/eng.train:9"


@pytest.mark.parametrize("names", [("train.txt", "valid.txt", "test.txt")])
def test_two_columns_of_a_byte_order_mark_tabs_and_lines_of_blanks(tmp_path, names):
    text = "\ufeffIn\tO\r\nNew\u00a0York\tB-geo-loc\r\n\t\r\n\r\nAnn\tB-person\r\n"
    for name in names:
        (tmp_path / name).write_bytes(text.encode())
    listing = list_text("columns", tmp_path, "iob2")
    assert read(listing.sentences)[:2] == [
        (("In", "New\u00a0York"), ("O", "B-geo-loc")),
        (("Ann",), ("B-person",)),
    ]
    assert list(listing.splits) == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2


def test_wnut_17_by_its_own_names(tmp_path):
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (tmp_path / name).write_text("Ann\tB-person\nRome\tB-location\n")
    listing = list_text("wnut-17", tmp_path, "iob2")
    assert listing.splits == ["train", "validation", "test"]


def test_json_lines_and_a_single_file_without_splits(tmp_path):
    lines = [{"tokens": list(tokens), "tags": list(tags)} for tokens, tags in EXPECTED]
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    listing = list_text("json-lines", path, "iob2")
    assert read(listing.sentences) == EXPECTED
    assert listing.splits == ["", ""]


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("columns", b"a O\nb B-X\nc\n", r"train.txt:3: got 1 columns in 'c'; expected 2"),
        ("columns", b"a O\n\tB-X\n", r"train.txt:2: got 2 columns in .*expected 2: token"),
        ("conll", b"a O\n", r"train.txt:1: got 2 columns in 'a O'; expected 4: token, part"),
        ("columns", b"a O\nb\xe9 B-X\n", r"train.txt:2: byte 0xe9 is no UTF-8.*iconv"),
        ("columns", b"a B-X\nb B-Y\n\nc O\nd I-X\n", r"train.txt:5: I-X follows O.*iob1"),
        ("columns", b"a B-X\nb Q\n", r"train.txt:2: 'Q' is no tag"),
        ("columns", b"\n\n", r"train.txt has no sentence"),
        ("columns", b"a B-X\n", r"entities of only X; expected two types"),
        ("json-lines", b'{"tokens": [], "tags": []}\n', r"train.jsonl:1: a sentence without"),
        ("json-lines", b'\n{"tokens": ["a"], "tags": []}\n', r":2: 1 tokens and 0 tags"),
        ("json-lines", b'{"tokens": ["a", " "], "tags": ["O", "O"]}\n', r":1: expected the lists"),
        ("json-lines", b"{a}\n", r"train.jsonl:1: no JSON: Expecting property"),
        ("json-lines", b'["a"]\n', r"train.jsonl:1: expected the lists of texts"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, source, text, message):
    (tmp_path / ("train.jsonl" if source == "json-lines" else "train.txt")).write_bytes(text)
    with pytest.raises(UserError, match=message) as caught:
        list_text(source, tmp_path, "iob2")
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_file_for_training_is_refused(tmp_path):
    (tmp_path / "test.txt").write_text("a O\n")
    with pytest.raises(UserError, match="no file for training; conll expects"):
        list_text("conll", tmp_path, "iob2")


def test_files_are_recognised_by_what_is_in_them(tmp_path):
    (tmp_path / "train.txt").write_text(IOB1)
    assert recognise(tmp_path)[:2] == ("conll", "iob1")
    (tmp_path / "train.txt").write_text("Ann\tB-person\nRome\tB-location\n")
    assert recognise(tmp_path)[:2] == ("columns", "iob2")
    (tmp_path / "train.txt").write_text("Ann\tB-person\nRome\tB-location\nfoo\n")
    with pytest.raises(UserError, match=r"train.txt:3: got 1 columns"):
        recognise(tmp_path)
    assert is_text(tmp_path)
    (tmp_path / "cats").mkdir()
    assert not is_text(tmp_path)
