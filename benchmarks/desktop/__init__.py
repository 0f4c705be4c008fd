"""A desktop in a browser, beside other programs that show one: delay, sharpness, bytes, CPU.

Each contender shows the same scene on a display of its own, one after another, in one Chromium.
The scene draws the time of each frame as a barcode (tests/e2e/barcode.py), the page reads it back
from the pixels that it shows; nothing is asked of the contenders themselves.
"""

from benchmarks.desktop.measure import quick, run
from benchmarks.desktop.report import table

__all__ = ["quick", "run", "table"]
