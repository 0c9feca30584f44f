"""What becomes of true entities, and which sentences are shown."""

from pipeline.language.misses import disputed_sentences, misses

TRUE = [["B-LOC", "I-LOC", "O", "B-PER"], ["B-LOC", "O"], ["B-PER", "O"]]
FOUND = [["B-LOC", "O", "O", "B-LOC"], ["B-LOC", "O"], ["O", "O"]]


def test_each_true_entity_is_counted_once_by_what_becomes_of_it():
    table = misses(TRUE, FOUND, ["LOC", "PER"]).set_index("type")
    assert table.loc["LOC"].to_dict() == {
        **{"found": 1, "other type": 0, "other bounds": 1, "not seen": 0}
    }
    assert table.loc["PER"].to_dict() == {
        **{"found": 0, "other type": 1, "other bounds": 0, "not seen": 1}
    }


def test_sentences_of_both_signs_are_shown_the_clearest_first():
    words = ["a", "b", "c", "d"]
    tokens = {7: words, 8: words[:2], 9: words[:2]}
    second = [TRUE[0], ["O", "O"], ["O", "O"]]
    found = disputed_sentences(tokens, TRUE, ("vanilla", FOUND), ("co-tuning", second), 2)
    assert [example.sentence for example in found] == [7, 8]
    assert found[0].true == "[a b LOC] c [d PER]"
    assert found[0].by_method == {
        "vanilla": "[a LOC] b c [d LOC]",
        "co-tuning": "[a b LOC] c [d PER]",
    }
    assert disputed_sentences(tokens, TRUE, ("x", FOUND), ("y", FOUND), 2) == []
