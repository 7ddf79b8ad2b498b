"""A small generated world: who likes, owns, visits … what, told in English.

One source of text for two disjoint purposes, so that what carries over is skill and not the task:

* `pretraining_pair`: span corruption, open questions ("Who owns the red hat?") and yes/no questions, from which
  `pretrain.py` makes the backbone;
* `entailment_row`: a premise and a declarative hypothesis under GLUE RTE's official labels, which `make_demo.py`
  writes as the demonstration task. Pretraining never sees a hypothesis, RTE's fields, or its targets "0" and "1" as
  answers to a question of truth.

A false hypothesis gives one person's fact to another person of the same premise: the words overlap exactly as much as
in a true one, so nothing but binding the right person to the right fact can tell them apart.
"""

from dataclasses import dataclass
from random import Random

NAMES = (
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olga Peter "
    "Quinn Rosa Simon Tina Uma Victor Wendy Xavier Yara Zoe Alice Bruno Carla Diego Elena Frank"
).split()
COLOURS = "red blue green black white yellow".split()
DIGITS = "0123456789"
# base form: (third person, participle, its objects)
VERBS: dict[str, tuple[str, str, list[str]]] = {
    "like": ("likes", "liked", ["tea", "coffee", "music", "rain", "snow", "bread", "cheese", "chess"]),
    "own": ("owns", "owned", [f"the {c} {o}" for c in COLOURS for o in ("hat", "car", "lamp", "bag")]),
    "visit": ("visits", "visited", ["Paris", "Rome", "Oslo", "Cairo", "Lima", "Delhi", "Berlin", "Madrid"]),
    "paint": ("paints", "painted", [f"the {c} {o}" for c in COLOURS for o in ("door", "wall", "boat")]),
    "feed": ("feeds", "fed", [f"the {c} {o}" for c in COLOURS for o in ("dog", "cat", "bird", "horse")]),
    "clean": ("cleans", "cleaned", [f"{o} {d}" for d in DIGITS for o in ("room", "house", "bus")]),
}
TIMES = ["", "", "", "in the morning", "at night", "on Monday", "on Friday", "in summer", "every day"]


@dataclass(frozen=True)
class Fact:
    """`name` does `verb` to `thing`, at `time` (may be empty)."""

    name: str
    verb: str
    thing: str
    time: str

    def active(self) -> str:
        tail = f" {self.time}" if self.time else ""
        return f"{self.name} {VERBS[self.verb][0]} {self.thing}{tail}."

    def passive(self) -> str:
        thing = self.thing[0].upper() + self.thing[1:]
        return f"{thing} is {VERBS[self.verb][1]} by {self.name}."

    def statement(self, rng: Random) -> str:
        return rng.choice((self.active, self.passive))()


def facts(rng: Random, n: int) -> list[Fact]:
    """Facts about n different people and things; half of the time all with one verb, the hardest to keep apart."""
    verbs = [rng.choice(list(VERBS))] * n if rng.random() < 0.5 else rng.choices(list(VERBS), k=n)
    found: list[Fact] = []
    for name, verb in zip(rng.sample(NAMES, n), verbs, strict=True):
        free = [t for t in VERBS[verb][2] if t not in {f.thing for f in found}]
        found.append(Fact(name, verb, rng.choice(free), rng.choice(TIMES)))
    return found


def swapped(rng: Random, known: list[Fact]) -> Fact:
    """A false fact: what one person of `known` does, said of another."""
    teller, other = rng.sample(known, 2)
    return Fact(teller.name, other.verb, other.thing, "")


def _question(rng: Random, known: list[Fact]) -> tuple[str, str]:
    fact = rng.choice(known)
    third, participle, _ = VERBS[fact.verb]
    kind = rng.choice(("who", "what", "yes/no", "yes/no"))
    if kind == "who":
        return rng.choice((f"Who {third} {fact.thing}?", f"By whom is {fact.thing} {participle}?")), fact.name
    if kind == "what":
        return rng.choice((f"What does {fact.name} {fact.verb}?", f"What is {participle} by {fact.name}?")), fact.thing
    true = len(known) == 1 or rng.random() < 0.5
    asked = fact if true else swapped(rng, known)
    participle = VERBS[asked.verb][1]
    forms = (f"Does {asked.name} {asked.verb} {asked.thing}?", f"Is {asked.thing} {participle} by {asked.name}?")
    return rng.choice(forms), "yes" if true else "no"


def _corrupt(rng: Random, words: list[str], rate: float = 0.2) -> tuple[str, str]:
    """T5's span corruption: spans of 1–3 words give way to sentinels, and the target lists what they hid."""
    source: list[str] = []
    target: list[str] = []
    i = sentinel = 0
    while i < len(words):
        if rng.random() < rate / 2 and sentinel < 15:
            span = rng.randint(1, 3)
            mark = f"<extra_id_{sentinel}>"
            source.append(mark)
            target += [mark, *words[i : i + span]]
            sentinel, i = sentinel + 1, i + span
        source += words[i : i + 1]
        i += 1
    return " ".join(source), " ".join([*target, f"<extra_id_{sentinel}>"])


def pretraining_pair(rng: Random, most: int) -> tuple[str, str]:
    """One (source, target) of the pretraining mixture over at most `most` facts."""
    known = facts(rng, rng.randint(1, most))
    story = " ".join(f.statement(rng) for f in known)
    if rng.random() < 0.25:
        again = " ".join(f.statement(rng) for f in rng.sample(known, len(known)))
        opening = rng.choice(
            ("", f"This sentence is about {known[0].name}.", f"The text has {len(known)} facts: a list.")
        )
        return _corrupt(rng, f"{opening} {story} {again}".split())
    asked = [_question(rng, known) for _ in range(rng.randint(1, 3))]
    return f"{story} {' '.join(q for q, _ in asked)}", " ".join(a for _, a in asked)


def entailment_row(rng: Random) -> tuple[str, str, str]:
    """(sentence1, sentence2, label) as GLUE RTE has them: does the premise entail the hypothesis?"""
    known = facts(rng, rng.randint(2, 3))
    true = rng.random() < 0.5
    claim = rng.choice(known) if true else swapped(rng, known)
    premise = " ".join(f.statement(rng) for f in known)
    hypothesis = claim.passive() if rng.random() < 0.5 else Fact(claim.name, claim.verb, claim.thing, "").active()
    return premise, hypothesis, "entailment" if true else "not_entailment"
