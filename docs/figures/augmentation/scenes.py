#!/usr/bin/env python3
"""Draws the pictures on which docs/augmentation.md shows what augmentation does.

Usage: scenes.py DIRECTORY

Writes train/CLASS/CLASS.png and val/CLASS/CLASS.png of 500 x 375 pixels, four classes. Only Python's
own library is used, and nothing is random: the same bytes every time.
"""

import math
import os
import struct
import sys
import zlib

WIDTH, HEIGHT = 500, 375


def mix(first, second, share):
    return tuple(a + (b - a) * share for a, b in zip(first, second))


def edge(distance):
    """Coverage of a pixel whose centre lies so far inside a shape."""
    return min(1.0, max(0.0, distance + 0.5))


# A shape is a pair: the coverage of a pixel, and its colour.


def sky(top, bottom):
    return lambda x, y: 1.0, lambda x, y: mix(top, bottom, y / HEIGHT)


def disc(cx, cy, radius, colour):
    return lambda x, y: edge(radius - math.hypot(x - cx, y - cy)), lambda x, y: colour


def oval(cx, cy, rx, ry, colour):
    def inside(x, y):
        return edge((1 - math.hypot((x - cx) / rx, (y - cy) / ry)) * min(rx, ry))

    return inside, lambda x, y: colour


def below(line, colour, deep=None):
    """Everything below a line y(x), towards `deep` at the picture's lower edge."""

    def paint(x, y):
        return mix(colour, deep or colour, max(0.0, min(1.0, (y - line(x)) / (HEIGHT - line(x)))))

    return lambda x, y: edge(y - line(x)), paint


def polygon(points, colour):
    """A convex polygon, its corners clockwise as seen."""
    sides = []
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1]):
        length = math.hypot(x1 - x0, y1 - y0)
        sides.append((x0, y0, (x1 - x0) / length, (y1 - y0) / length))

    def inside(x, y):
        return edge(min(dx * (y - y0) - dy * (x - x0) for x0, y0, dx, dy in sides))

    return inside, lambda x, y: colour


def box(left, top, right, bottom, colour):
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def wave(height, depth, length, start=0.0):
    return lambda x: height - depth * math.sin(2 * math.pi * (x - start) / length)


def tree(x, foot, size):
    return [
        box(x - 0.08 * size, foot - 0.6 * size, x + 0.08 * size, foot, (110, 70, 40)),
        disc(x, foot - size, 0.5 * size, (40, 120, 50)),
        disc(x - 0.3 * size, foot - 0.75 * size, 0.35 * size, (30, 105, 45)),
        disc(x + 0.3 * size, foot - 0.8 * size, 0.35 * size, (60, 140, 60)),
    ]


def house():
    return [
        sky((70, 140, 225), (205, 230, 250)),
        disc(410, 75, 38, (255, 214, 60)),
        oval(120, 70, 55, 18, (250, 250, 255)),
        oval(160, 82, 60, 16, (240, 244, 252)),
        below(wave(235, 28, 420, 60), (120, 165, 90), (90, 140, 70)),
        below(wave(275, 14, 300), (90, 170, 70), (50, 120, 45)),
        box(185, 195, 325, 305, (235, 215, 170)),
        polygon([(165, 198), (255, 120), (345, 198)], (190, 55, 45)),
        box(288, 128, 308, 175, (150, 80, 65)),
        box(240, 240, 275, 305, (105, 65, 40)),
        box(202, 220, 230, 250, (120, 185, 230)),
        box(285, 220, 313, 250, (120, 185, 230)),
    ] + tree(95, 320, 85) + tree(430, 330, 100)


def boat():
    return [
        sky((250, 120, 80), (255, 215, 140)),
        disc(140, 200, 48, (255, 245, 190)),
        below(lambda x: 205, (45, 95, 150), (15, 45, 95)),
        oval(140, 222, 60, 5, (250, 190, 130)),
        oval(150, 245, 42, 4, (230, 160, 120)),
        oval(132, 270, 30, 4, (200, 135, 115)),
        polygon([(238, 262), (420, 262), (385, 300), (270, 300)], (130, 45, 40)),
        box(320, 100, 326, 262, (90, 60, 40)),
        polygon([(332, 105), (405, 250), (332, 250)], (250, 250, 245)),
        polygon([(314, 120), (314, 250), (250, 250)], (235, 225, 205)),
        box(326, 88, 352, 102, (40, 160, 90)),
    ]


def balloon():
    stripes = [(225, 60, 60), (250, 200, 60), (60, 130, 200), (250, 200, 60), (225, 60, 60)]
    shapes = [
        sky((90, 170, 235), (225, 240, 250)),
        polygon([(-60, 300), (110, 150), (290, 300)], (120, 125, 150)),
        polygon([(72, 184), (110, 150), (150, 184), (110, 176)], (245, 248, 252)),
        polygon([(220, 300), (400, 130), (580, 300)], (95, 105, 135)),
        polygon([(362, 166), (400, 130), (438, 166), (400, 156)], (245, 248, 252)),
        below(wave(290, 10, 260), (150, 175, 85), (95, 130, 60)),
    ]
    for number, colour in enumerate(stripes):
        shapes.append(oval(250, 125, 92 - 20 * number, 98, colour))
    shapes += [
        polygon([(206, 205), (294, 205), (268, 238), (232, 238)], (200, 50, 50)),
        box(232, 240, 235, 262, (80, 60, 40)),
        box(265, 240, 268, 262, (80, 60, 40)),
        box(228, 260, 272, 288, (150, 100, 55)),
    ]
    return shapes


def lighthouse():
    shapes = [
        sky((25, 25, 75), (95, 80, 150)),
        disc(65, 95, 26, (245, 240, 215)),
        polygon([(172, 112), (520, 55), (520, 175)], (235, 220, 150)),
        below(wave(285, 5, 130), (30, 60, 110), (10, 25, 60)),
        below(lambda x: 262 + abs(x - 150) ** 1.5 / 30, (70, 75, 80), (40, 42, 48)),
    ]
    shapes += [disc(x, y, 1.8, (255, 255, 240)) for x, y in
               [(60, 40), (110, 60), (250, 40), (410, 50), (255, 190), (30, 170), (330, 30), (400, 210)]]
    for number in range(5):
        left, width = 118 + 4 * number, 78 - 8 * number
        top = 236 - 27 * number
        colour = (205, 50, 50) if number % 2 == 0 else (240, 235, 225)
        shapes.append(box(left, top, left + width, top + 28, colour))
    shapes += [
        box(130, 126, 184, 132, (60, 60, 70)),
        box(142, 98, 172, 126, (255, 235, 140)),
        polygon([(136, 98), (157, 74), (178, 98)], (160, 40, 40)),
    ]
    return shapes


def pixels(shapes):
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)
        for x in range(WIDTH):
            colour = (0.0, 0.0, 0.0)
            for coverage, paint in shapes:
                share = coverage(x + 0.5, y + 0.5)
                if share > 0:
                    colour = mix(colour, paint(x + 0.5, y + 0.5), share)
            rows += bytes(round(value) for value in colour)
    return bytes(rows)


def png(rows):
    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9))
            + chunk(b"IEND", b""))


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    for draw in (house, boat, balloon, lighthouse):
        name = draw.__name__
        picture = png(pixels(draw()))
        for split in ("train", "val"):
            directory = os.path.join(sys.argv[1], split, name)
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, name + ".png"), "wb") as file:
                file.write(picture)


main()
