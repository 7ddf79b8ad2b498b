"""Metrics of one generated text, given all correct answers.

Texts are normalized to Unicode NFC, and white space is stripped and collapsed. Nothing else is changed: case, signs,
symbols, punctuation, accents and articles count. `squad_em`, `squad_f1` and `rouge` are the published
metrics, which ignore what their definitions ignore.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchmetrics.functional.text import rouge_score, squad

# Scripts without spaces: Thai, Lao, Myanmar, Khmer, Chinese and Japanese. Each character is a word.
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{SPACELESS}]|[^\s{SPACELESS}]+")
SIGNED = re.compile(r"(?<!\w)[-−](?=\d)")  # a sign; elsewhere a hyphen


def exact_match(prediction: str, targets: Sequence[str]) -> float:
    """1 if the text is one of the answers, else 0; white space and Unicode normal forms are ignored."""
    return float(any(normalized(prediction) == normalized(target) for target in targets))


def word_f1(prediction: str, targets: Sequence[str]) -> float:
    """F1 over words separated by white space, with their counts; the best over all answers.

    In scripts without spaces each character is a word.
    """
    return max(_overlap(WORD.findall(normalized(prediction)), WORD.findall(normalized(target))) for target in targets)


def squad_em(prediction: str, targets: Sequence[str]) -> float:
    """SQuAD's and ReCoRD's exact match: lower case, without ASCII punctuation and the English articles a, an, the."""
    return _squad(prediction, targets)["exact_match"].item() / 100


def squad_f1(prediction: str, targets: Sequence[str]) -> float:
    """SQuAD's and ReCoRD's F1 over words, normalized as for `squad_em`; the best over all answers."""
    return _squad(prediction, targets)["f1"].item() / 100


def rouge(prediction: str, targets: Sequence[str]) -> float:
    """ROUGE-L F-measure (Lin, 2004), the best over all answers.

    In ASCII the words are those of Google's rouge_score: letters and digits, lower case, without punctuation. Letters
    and digits of every other script make words too. A number keeps its minus sign, and each symbol, such as + or 🙂, is
    a word. The same text always scores 1.
    """
    if exact_match(prediction, targets):
        return 1.0
    options: Any = {"accumulate": "best", "rouge_keys": "rougeL", "normalizer": normalized, "tokenizer": rouge_words}
    return rouge_score(prediction, [list(targets)], **options)["rougeL_fmeasure"].item()


def normalized(text: str) -> str:
    """Normalize to Unicode NFC, strip white space, and collapse runs of it to one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def rouge_words(text: str) -> list[str]:
    """The words of `rouge`."""
    text = SIGNED.sub(" minus", text.lower())
    kinds = (
        (char, unicodedata.category(char)[0]) for char in text
    )  # L, M, N: letters, their marks, digits; S: symbols
    spaced = (char if kind in "LMN" else f" {char} " if kind == "S" else " " for char, kind in kinds)
    return WORD.findall("".join(spaced))


def _overlap(predicted: list[str], target: list[str]) -> float:
    if not predicted or not target:
        return float(predicted == target)
    common = (Counter(predicted) & Counter(target)).total()
    return 2 * common / (len(predicted) + len(target))


def _squad(prediction: str, targets: Sequence[str]) -> dict[str, Tensor]:
    answers: Any = {"text": list(targets), "answer_start": [0] * len(targets)}
    return squad([{"id": "", "prediction_text": prediction}], [{"id": "", "answers": answers}])
