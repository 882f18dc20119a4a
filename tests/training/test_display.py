"""What a run prints."""

from reverie.training.display import Display, grid


def test_names_from_environments_and_folders_can_not_control_the_terminal(capsys):
    display = Display(10)
    display.note("run 'a\x1b[2J'\nits second line")
    display.warn("key 'b\x07' [bold]is odd[/]")
    display.note(grid([("c\x1b]0;title\x07", "d\x9b1m")]))
    display.close()
    printed = capsys.readouterr().out
    assert "run 'a\\x1b[2J'\nits second line\n" in printed
    assert "key 'b\\x07' [bold]is odd[/]" in printed
    assert "c\\x1b]0;title\\x07" in printed
    assert not set(printed) & {"\x1b", "\x07", "\x9b"}
