"""When a file has changed."""

from switchgear.gateway.reload import WatchedFile


def settle(file: WatchedFile) -> list[bool]:
    """Three looks."""
    return [file.has_changed() for _ in range(3)]


def test_a_change_is_told_once_when_it_is_over(tmp_path):
    path = tmp_path / "f"
    path.write_text("one")
    file = WatchedFile(path)
    assert settle(file) == [False] * 3
    path.write_text("half")
    assert not file.has_changed()
    path.write_text("whole!")
    assert settle(file) == [False, True, False]


def test_the_same_content_again_is_no_change(tmp_path):
    path = tmp_path / "f"
    path.write_text("one")
    file = WatchedFile(path)
    path.unlink()
    assert settle(file) == [False] * 3
    path.write_text("one")
    assert settle(file) == [False] * 3
    # Of another length: within one tick of the system's clock, nothing else tells the two apart.
    path.write_text("three")
    assert settle(file) == [False, True, False]


def test_another_file_of_the_same_name_is_a_change(tmp_path):
    path, other = tmp_path / "f", tmp_path / "g"
    path.write_text("one")
    file = WatchedFile(path)
    other.write_text("two")
    other.replace(path)
    assert settle(file) == [False, True, False]


def test_a_link_on_the_way_that_is_exchanged_is_a_change(tmp_path):
    for name in "12":
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    data, following = tmp_path / "..data", tmp_path / "..next"
    data.symlink_to("1")
    path = tmp_path / "f"
    path.symlink_to("..data/f")
    file = WatchedFile(path)
    following.symlink_to("2")
    following.replace(data)
    assert settle(file) == [False, True, False]
    assert file.fingerprint == WatchedFile(tmp_path / "2" / "f").fingerprint
