"""Windows virtual key codes, as Moonlight sends them, to evdev codes (linux/input-event-codes.h).

Clients translate their own layout to the US one, so a virtual key stands for a place on the
keyboard; what it types is the display's layout's business.
"""

from __future__ import annotations

from typing import Final

_LETTERS: Final = dict(
    zip(
        "QWERTYUIOPASDFGHJKLZXCVBNM",
        (*range(16, 26), *range(30, 39), *range(44, 51)),
        strict=True,
    )
)
_DIGITS: Final = dict(zip("1234567890", range(2, 12), strict=True))
_FUNCTION: Final = (*range(59, 69), 87, 88, *range(183, 195))
_KEYPAD: Final = (82, 79, 80, 81, 75, 76, 77, 71, 72, 73)

EVDEV: Final[dict[int, int]] = {
    **{ord(letter): code for letter, code in _LETTERS.items()},
    **{ord(digit): code for digit, code in _DIGITS.items()},
    **{0x70 + index: code for index, code in enumerate(_FUNCTION)},  # F1 to F24
    **{0x60 + index: code for index, code in enumerate(_KEYPAD)},
    0x08: 14,  # backspace
    0x09: 15,  # tab
    0x0C: 76,  # clear: the keypad's 5
    0x0D: 28,  # enter
    0x10: 42,  # shift
    0x11: 29,  # control
    0x12: 56,  # alt
    0x13: 119,  # pause
    0x14: 58,  # caps lock
    0x1B: 1,  # escape
    0x1C: 92,  # convert
    0x1D: 94,  # non-convert
    0x20: 57,  # space
    0x21: 104,  # page up
    0x22: 109,  # page down
    0x23: 107,  # end
    0x24: 102,  # home
    0x25: 105,  # left
    0x26: 103,  # up
    0x27: 106,  # right
    0x28: 108,  # down
    0x2C: 99,  # print screen
    0x2D: 110,  # insert
    0x2E: 111,  # delete
    0x2F: 138,  # help
    0x5B: 125,  # left meta
    0x5C: 126,  # right meta
    0x5D: 127,  # menu
    0x5F: 142,  # sleep
    0x6A: 55,  # keypad *
    0x6B: 78,  # keypad +
    0x6C: 121,  # keypad separator
    0x6D: 74,  # keypad -
    0x6E: 83,  # keypad .
    0x6F: 98,  # keypad /
    0x90: 69,  # num lock
    0x91: 70,  # scroll lock
    0xA0: 42,  # left shift
    0xA1: 54,  # right shift
    0xA2: 29,  # left control
    0xA3: 97,  # right control
    0xA4: 56,  # left alt
    0xA5: 100,  # right alt
    0xA6: 158,  # browser back
    0xA7: 159,  # browser forward
    0xAD: 113,  # mute
    0xAE: 114,  # volume down
    0xAF: 115,  # volume up
    0xB0: 163,  # next
    0xB1: 165,  # previous
    0xB2: 166,  # stop
    0xB3: 164,  # play
    0xBA: 39,  # ;
    0xBB: 13,  # =
    0xBC: 51,  # ,
    0xBD: 12,  # -
    0xBE: 52,  # .
    0xBF: 53,  # /
    0xC0: 41,  # `
    0xDB: 26,  # [
    0xDC: 43,  # backslash
    0xDD: 27,  # ]
    0xDE: 40,  # '
    0xE2: 86,  # the key beside left shift on 102-key boards
}
