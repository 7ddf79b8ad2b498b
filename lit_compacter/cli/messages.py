"""Rewrite jsonargparse's messages as sentences: `data.batch_size is -1; expected a whole number above 0`."""

import re

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "NoneType": "null",
    "list": "a list such as [a, b]",
    "tuple": "a list such as [a, b]",
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number, 0 or more",
    "Seed": "a whole number from 0 to 4294967295",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or more",
    "Share": "a share of the run (below 1)",
}
NO_PATH = r"- Expected a path but .*? either not accessible or invalid - "
KEYS = re.compile(rf'(?:Parser key "[\w.]+": (?:{NO_PATH})?)+')
EXPECTED = re.compile(r"Expected an? (?P<types>.*?)\. Got value: ?(?P<value>.*)")
RESTRICTED = re.compile(
    r"Not of type (?P<types>\w+): (?:(?P<value>\S+) (?:does not conform|not a number)|.* to float: (?P<word>.*)"
    r"|.* 10: (?P<digits>.*)|.*not '(?P<kind>\w+)'$)?"
)
CLASS = re.compile(
    r"(?:Expected a dot import path string: |Not a valid subclass of \w+\. Got value: )(?P<value>.*?)"
    r"(?: Subclass types expect.*)?"
)
UNION = re.compile(
    r"Does not validate against any of the Union subtypes Subtypes: \[(?P<types>.*?)\] Errors: (?P<errors>.*) "
    r"Given value type: .*? Given value: ?(?P<value>.*)"
)
TYPE = re.compile(r"typing\.Literal\[(?P<values>[^]]*)\]|\w+\[(?P<items>[\w.]+)[^]]*\]|(?:<class ')?(?P<name>[\w.]+)")
# The error inside an instance of a class.
WITHIN = re.compile(r"- (the following arguments are required: .*?|Option '\w+' is not accepted.*?)(?= - |$)")


def humanize_parser_error(message: str) -> str:
    """Put a message on one line, and rewrite it as a sentence if it is about an invalid value of an option."""
    text = " ".join(message.split())
    keys = KEYS.search(text)
    if not keys:
        return text
    before, key, said = text[: keys.start()], ".".join(re.findall(r'"([\w.]+)"', keys[0])), text[keys.end() :]
    if re.match(r"[\w.]+ is .*; expected ", said):  # from an inner parser, about the option of a class
        return f"{before}{key}.{said}"
    if found := CLASS.fullmatch(said):
        return f"{before}{key} is {_value(found)}; expected the name of a class"
    found = UNION.fullmatch(said) or EXPECTED.fullmatch(said) or RESTRICTED.match(said)
    if not found:
        return text
    within = "".join(f" ({told})" for told in WITHIN.findall(found.groupdict().get("errors", "")))
    return f"{before}{key} is {_value(found)}; expected {_types(found['types'])}{within}"


def _value(found: re.Match[str]) -> str:
    given = found.groupdict()
    value = next((v for name in ("value", "word", "digits") if (v := given.get(name))), "")
    if not value and (kind := given.get("kind")):
        value = WORDS.get(kind, kind)
    if instance := re.match(r"Namespace\(class_path='([\w.]+)'", value):
        return instance[1].rpartition(".")[2]
    value = value.strip("'")
    return "null" if value == "None" else value[:80] or "empty"


def _types(types: str) -> str:
    """`a, b or c` of the types in jsonargparse's list."""
    names: dict[str, None] = {}
    for found in TYPE.finditer(types):
        if found["values"]:
            names |= dict.fromkeys(value.strip(" '") for value in found["values"].split(","))
        elif found["items"]:
            names[f"a list of {found['items'].rpartition('.')[2]}"] = None
        else:
            name = found["name"].rpartition(".")[2]
            names[WORDS.get(name, f"a {name}")] = None
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
