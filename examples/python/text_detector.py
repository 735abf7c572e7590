# SPDX-License-Identifier: MIT
"""Where is text on a large page? PP-OCRv4's detector on an image as large as it is, without making it smaller first.

    pip install -r requirements.txt; pip install --no-deps rapidocr-onnxruntime
    python text_detector.py [page.png]

Writes text_detector.png: the page, and boxes around what was found. Without a page it draws one, A4 at 300 dpi.
"""

import compare
import numpy
from PIL import Image, ImageDraw, ImageFont

WORDS = ("convolution in bounded memory unfolds and multiplies one tile of output positions at a time in one small reused scratch "
         "buffer so that no problem is too large for the machine that has to compute it").split()


def draw_page(width=2480, height=3508):
    """Headings and columns of text in several sizes."""
    page = Image.new("RGB", (width, height), "white")
    pen, random, y = ImageDraw.Draw(page), numpy.random.default_rng(0), height // 20
    while y < height * 19 // 20:
        heading = random.random() < 0.12
        size = max(8, width // (28 if heading else int(random.integers(52, 90))))
        font = ImageFont.load_default(size)
        for column in range(1 if heading else 2):
            x, end = width // 14 + column * width * 6 // 14, width // 14 + (column + 1) * width * 6 // 14 - width // 25
            while heading or x < end:
                word = WORDS[int(random.integers(len(WORDS)))]
                wide = pen.textlength(word + " ", font=font)
                if x + wide > (width * 12 // 14 if heading else end):
                    break
                pen.text((x, y), word, fill="black", font=font)
                x += wide
        y += size * 8 // 5
    return page


def open_page(arguments):
    return Image.open(arguments.page).convert("RGB") if arguments.page else draw_page(*arguments.size)


def tensor_of(page):
    """As the detector's own package feeds it: sides a multiple of 32, blue first, from -1 to 1."""
    sizes = [max(32, round(size / 32) * 32) for size in page.size]
    pixels = numpy.asarray(page.resize(sizes), "f4")[:, :, ::-1] / 127.5 - 1
    return numpy.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def model_of(arguments):
    return arguments.model or compare.file_of_package("rapidocr_onnxruntime", "models/*det*.onnx", "rapidocr-onnxruntime")


def by_onnxruntime(arguments, job):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(model_of(arguments)), providers=["CPUExecutionProvider"])
    image = tensor_of(open_page(arguments))
    job.start()
    return session.run(None, {session.get_inputs()[0].name: image})[0]


def by_tilefold(arguments, job):
    from split_session import SplitSession, bar
    session = SplitSession(model_of(arguments), scratch=arguments.scratch)
    image = tensor_of(open_page(arguments))
    job.start()
    return session.run({session.inputs[0]: image}, bar("text detector"))[0]


def boxes_of(probability, width, height):
    """(left, top, right, bottom) in a page of this size of what is text with a probability over 0.3. The detector is taught to shrink
    regions by their area * 0.4 / perimeter or so; its own package widens them by area * 1.6 / perimeter again."""
    from scipy import ndimage
    regions, _ = ndimage.label(probability > 0.3)
    across, down = width / probability.shape[1], height / probability.shape[0]
    for rows, columns in ndimage.find_objects(regions):
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        more = tall * wide * 1.6 / (2 * (tall + wide))
        yield ((columns.start - more) * across, (rows.start - more) * down, (columns.stop + more) * across, (rows.stop + more) * down)


def show(arguments, probability):
    page = open_page(arguments)
    pen, boxes = ImageDraw.Draw(page), list(boxes_of(probability[0, 0], *page.size))
    for box in boxes:
        pen.rectangle(box, outline="red", width=max(1, page.width // 600))
    page.save(arguments.out / "text_detector.png")
    print(f"\n{len(boxes)} pieces of text: {arguments.out / 'text_detector.png'}")


if __name__ == "__main__":
    parser = compare.parser(__doc__)
    parser.add_argument("page", nargs="?", help="an image file")
    parser.add_argument("--model", help="a detector's ONNX file; that of the package rapidocr-onnxruntime")
    parser.add_argument("--size", default=(2480, 3508), type=lambda text: tuple(map(int, text.split("x"))),
                        help="of the page that is drawn, as 2480x3508")
    compare.main(parser, {"onnxruntime": by_onnxruntime, "onnxruntime and tilefold": by_tilefold}, show)
