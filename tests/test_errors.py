import pickle

from kit.base.errors import FileFault, KitError


def test_message_and_hint_are_one_line():
    error = KitError("two\nlines", "do\nthis")
    assert str(error) == "two lines; do this"


def test_fault_names_file_line_and_column():
    fault = FileFault("a.csv", "text where a number belongs", line=3, column="XMin1")
    assert str(fault) == "a.csv, line 3, column XMin1: text where a number belongs"
    assert str(FileFault("a.csv", "no such file")) == "a.csv: no such file"


def test_what_a_terminal_would_obey_is_escaped():
    assert str(KitError("id \x1b[31mred\x07\u202e")) == "id \\x1b[31mred\\x07\\u202e"
    assert str(KitError("caf\u00e9 \udc80")) == "caf\u00e9 \\udc80"


def test_a_long_value_is_cut_in_the_middle():
    text = str(KitError(f"first {'x' * 5000} last"))
    assert len(text) <= 600
    assert text.startswith("first x")
    assert text.endswith("x last")


def test_an_error_travels_between_processes():
    fault = pickle.loads(pickle.dumps(FileFault("a.csv", "empty", line=2, column="X", hint="fill it")))
    assert str(fault) == "a.csv, line 2, column X: empty; fill it"
    assert (type(fault), fault.line, fault.column) == (FileFault, 2, "X")
