"""What is said of the warnings of many cells."""

from lit_compacter.studies.run_warnings import MAX_LISTED, group_warnings


def test_a_warning_is_told_once_with_its_cells() -> None:
    cells = [
        ({"method": method, "task": "rte", "data.batch_size": size, "seed": seed}, texts)
        for method, size, seed, texts in [
            ("compacter", 100, 1, ["too short"]),
            ("compacter", 100, 2, ["too short", "no answer"]),
            ("compacter", 500, 1, []),
            ("full", 100, 2, ["too short"]),
        ]
    ]
    assert group_warnings(cells) == [
        "compacter × rte × data.batch_size = 100 × seed 1, 2; full × rte × data.batch_size = 100 × seed 2: too short",
        "compacter × rte × data.batch_size = 100 × seed 2: no answer",
    ]


def test_short_where_it_concerns_many() -> None:
    assert group_warnings([({"seed": seed}, ["too short"]) for seed in range(9)]) == ["all cells: too short"]
    tasks = [({"task": f"t{number}"}, ["too short"]) for number in range(MAX_LISTED + 2)]
    (line,) = group_warnings([*tasks, ({"task": "rte"}, [])])
    assert line.startswith("t0; t1; ") and line.endswith("; and 2 more: too short")


def test_cells_that_differ_in_a_search_alone_are_named_once() -> None:
    cells = [({"method": "lora"}, ["too short"]), ({"method": "lora"}, ["too short"]), ({"method": "full"}, [])]
    assert group_warnings(cells) == ["lora: too short"]
