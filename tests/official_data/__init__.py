"""A tiny GLUE and SuperGLUE, written once as the hub has them and once in the official archives' layout.

The rows are hard cases: bare quotes, a byte-order mark, an empty text, an emoji, a tab inside JSON, characters that
mean something in a regular expression, markup, highlights, spans that differ from their text, a label of −1.
"""

from tests.official_data.base import COUNTS, Benchmark
from tests.official_data.glue import GLUE
from tests.official_data.superglue import SUPERGLUE

__all__ = ["BENCHMARKS", "COUNTS", "Benchmark"]

BENCHMARKS = GLUE | SUPERGLUE
