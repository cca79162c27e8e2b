"""Messages about many things: a cause that many share appears once, with a count and the first few names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

FEW = 5  # names listed for one cause; the rest are counted


def named(names: Iterable[str], few: int = FEW) -> str:
    """The first `few` names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - few} more" if len(names) > few else ""
    return ", ".join(names[:few]) + more


def tell(problems: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Lines that say what is wrong, from names and the reasons of each.

    A cause that more than FEW names share becomes one line. The text of a reason before its colon is its
    cause.
    """
    problems = list(problems)
    shared: dict[str, list[str]] = {}
    for name, reasons in problems:
        for reason in reasons:
            shared.setdefault(reason.partition(":")[0], []).append(name)
    shared = {cause: names for cause, names in shared.items() if len(names) > FEW}
    lines = [f"{len(names)} times: {cause}: {named(names)}" for cause, names in shared.items()]
    for name, reasons in problems:
        if own := [reason for reason in reasons if reason.partition(":")[0] not in shared]:
            lines.append(f"{name}: {'; '.join(own)}")
    return lines


def reason(error: BaseException) -> str:
    """What an error says, on one line; its type if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def indented(lines: Iterable[str]) -> str:
    """The lines as a block: each starts on a new line, indented by two spaces."""
    return "".join(f"\n  {line}" for line in lines)
