from kit.errors import FileFault, KitError


def test_message_and_hint_are_one_line():
    error = KitError("two\nlines", "do\nthis")
    assert str(error) == "two lines; do this"


def test_fault_names_file_line_and_column():
    fault = FileFault("a.csv", "text where a number belongs", line=3, column="XMin1")
    assert str(fault) == "a.csv, line 3, column XMin1: text where a number belongs"
    assert str(FileFault("a.csv", "no such file")) == "a.csv: no such file"
