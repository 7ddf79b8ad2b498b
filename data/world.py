"""A small generated world: people who do things with things, and what kind of thing each is, told in English.

One source of text for two purposes that share the world and neither wording nor targets, so that what carries over is
knowledge and skill, not the task:

* `pretraining_pair`: span corruption and questions, from which `pretrain.py` makes the backbone;
* `entailment_row`: premise and declarative hypothesis under GLUE RTE's labels, which `make_demo.py` writes as the
  demonstration task. "Anna buys a plum and a drum." entails "Anna buys a fruit.".

The rows for training and the held-out rows of the task name different things: whoever does not know already what a plum
is cannot answer the latter. Pretraining has seen all words, but no hypothesis, no RTE fields, no "0" or "1" as answers.
"""

from collections.abc import Sequence
from random import Random

NAMES = (
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olga Peter "
    "Quinn Rosa Simon Tina Uma Victor Wendy Xavier Yara Zoe Alice Bruno Carla Diego Elena Frank"
).split()
KINDS = {
    "animal": "dog cat horse cow pig goat sheep rabbit fox bear wolf mouse",
    "insect": "bee wasp moth beetle fly cricket gnat flea mosquito cicada locust hornet",
    "fruit": "banana pear plum cherry lemon grape peach mango melon fig date lime",
    "vegetable": "carrot potato leek turnip radish bean pea cabbage beet pumpkin pepper cucumber",
    "tool": "hammer saw drill wrench chisel shovel rake spade knife screwdriver pickaxe hoe",
    "vehicle": "car bus truck train van tram bike boat ship ferry taxi scooter",
    "garment": "hat coat shirt scarf glove sock dress skirt jacket vest cap belt",
    "instrument": "piano violin flute drum guitar trumpet harp cello banjo tuba horn bassoon",
    "drink": "tea coffee milk juice water wine beer soda cocoa lemonade cider rum",
    "flower": "rose tulip lily daisy poppy violet lotus dahlia pansy jasmine peony crocus",
}
THINGS = {kind: things.split() for kind, things in KINDS.items()}
KIND_OF = {thing: kind for kind, things in THINGS.items() for thing in things}
TRAINING_THINGS = [thing for things in THINGS.values() for thing in things[:8]]
HELD_OUT_THINGS = [thing for things in THINGS.values() for thing in things[8:]]
VERBS = {"see": "sees", "buy": "buys", "draw": "draws", "want": "wants", "find": "finds", "sell": "sells"}
PLACES = ["", "", "in Paris", "at home", "on Monday", "in room 0", "in room 1", "in room 2", "at night", "every day"]
SENTINELS = 16


def a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def listed(nouns: Sequence[str]) -> str:
    """`a dog, a cat and a pear`."""
    *first, last = map(a, nouns)
    return f"{', '.join(first)} and {last}" if first else last


def other_kind(rng: Random, things: Sequence[str]) -> str:
    """A kind that none of `things` is of."""
    return rng.choice([kind for kind in KINDS if kind not in {KIND_OF[thing] for thing in things}])


class Event:
    """Somebody does something with one to three things, and a claim about their kind, true half of the time."""

    def __init__(self, rng: Random, things: Sequence[str] = tuple(KIND_OF)) -> None:
        self.name, self.verb, self.place = rng.choice(NAMES), rng.choice(list(VERBS)), rng.choice(PLACES)
        self.things = rng.sample(things, rng.randint(1, 3))
        self.true = rng.random() < 0.5
        self.claimed = KIND_OF[rng.choice(self.things)] if self.true else other_kind(rng, self.things)

    def story(self) -> str:
        return f"{self.name} {VERBS[self.verb]} {listed(self.things)} {self.place}".rstrip() + "."

    def premise(self) -> str:
        subject = f"{self.name} {self.place}".rstrip()
        return f"{subject} {VERBS[self.verb]} {listed(self.things)}."

    def hypothesis(self) -> str:
        return f"{self.name} {VERBS[self.verb]} {a(self.claimed)}."

    def question(self) -> tuple[str, str]:
        return f"Does {self.name} {self.verb} {a(self.claimed)}?", "yes" if self.true else "no"


def _lexical_question(rng: Random) -> tuple[str, str]:
    thing = rng.choice(list(KIND_OF))
    kind = KIND_OF[thing] if rng.random() < 0.5 else other_kind(rng, [thing])
    if rng.random() < 0.5:
        return f"What is {a(thing)}?", KIND_OF[thing]
    return f"Is {a(thing)} {a(kind)}?", "yes" if kind == KIND_OF[thing] else "no"


def _corrupted(rng: Random, words: list[str], rate: float = 0.2) -> tuple[str, str]:
    """T5's span corruption: spans of 1–3 words give way to sentinels, and the target lists what they hid."""
    source: list[str] = []
    target: list[str] = []
    i = sentinel = 0
    while i < len(words):
        if rng.random() < rate / 2 and sentinel < SENTINELS - 1:
            span = rng.randint(1, 3)
            mark = f"<extra_id_{sentinel}>"
            source.append(mark)
            target += [mark, *words[i : i + span]]
            sentinel, i = sentinel + 1, i + span
        source += words[i : i + 1]
        i += 1
    return " ".join(source), " ".join([*target, f"<extra_id_{sentinel}>"])


def pretraining_pair(rng: Random) -> tuple[str, str]:
    """One (source, target): a quarter is span corruption, a quarter asks about words, half about an event."""
    event = Event(rng)
    kind = rng.random()
    if kind < 0.25:
        known = " ".join(f"{a(thing)} is {a(KIND_OF[thing])}." for thing in event.things)
        opening = rng.choice(("", "This sentence is a fact.", f"The text has {len(event.things)} nouns: a list."))
        return _corrupted(rng, f"{opening} {event.story()} {known}".split())
    if kind < 0.5:
        return _lexical_question(rng)
    question, answer = event.question()
    return f"{event.story()} {question}", answer


def entailment_row(rng: Random, things: Sequence[str]) -> tuple[str, str, str]:
    """(sentence1, sentence2, label) as GLUE RTE has them, over the given things."""
    event = Event(rng, things)
    return event.premise(), event.hypothesis(), "entailment" if event.true else "not_entailment"
