"""Reading the TextGrids that MAUS writes."""

from __future__ import annotations

import re
import tempfile

from convexprune.alignment.aligner import AlignmentError

PHONES_TIER = "MAU"  # the name is the same beside ORT and KAN (older files) and ORT-MAU and KAN-MAU (newer)
TOLERANCE = 0.002  # the most seconds between intervals that count as touching
OVERHANG = 0.02  # seconds by which the last phone may end after the recording


def read_phones_tier(text: str, duration: float) -> list[tuple[float, float, str]]:
    """(start, end, label) of the phones in a TextGrid of `duration` seconds, in seconds, in order of time.

    Silence and noise (`<p:>`, `<usb>`, `<nib>` or empty) are left out. Raises AlignmentError for a TextGrid
    that is broken, cut off or of another recording, or has no phones.
    """
    from praatio import textgrid

    with tempfile.NamedTemporaryFile("w", suffix=".TextGrid", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            grid = textgrid.openTextgrid(file.name, includeEmptyIntervals=True, reportingMode="silence")
        except Exception as error:  # praatio raises errors of many types
            raise AlignmentError(f"the TextGrid is broken ({type(error).__name__}: {error})") from error
    if PHONES_TIER not in grid.tierNames:
        raise AlignmentError(f"the TextGrid has no tier {PHONES_TIER}, only {', '.join(grid.tierNames)}")
    intervals = [tuple(entry) for entry in grid.getTier(PHONES_TIER).entries]
    # A whole tier covers the recording without gaps. A file cut off between two intervals still parses.
    ends = [0.0, *(end for _, end, _ in intervals)]
    starts = [*(start for start, _, _ in intervals), grid.maxTimestamp]
    if any(abs(start - end) > TOLERANCE for start, end in zip(starts, ends, strict=True)):
        raise AlignmentError(f"the tier {PHONES_TIER} has gaps")
    phones = [(start, end, label.strip()) for start, end, label in intervals]
    phones = [phone for phone in phones if phone[2] and not re.fullmatch("<.*>", phone[2])]
    if not phones:
        raise AlignmentError(f"the tier {PHONES_TIER} has no phones")
    if phones[-1][1] > duration + OVERHANG:
        raise AlignmentError("the phones end after the recording: the TextGrid is of another one")
    return phones
