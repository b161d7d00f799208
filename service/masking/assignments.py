"""Secrets known by the name before them, in any text: `password=…`, `"token": "…"`, `Cookie: …`, `--key …`.

The text may be a command line, a URL, a DSN, JSON (also within a JSON string, or cut), YAML, XML or prose.
First a name is found, then the end of its value, and both decide. If the end is unclear, too much is masked
rather than too little.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from service.masking.candidates import could_be_secret
from service.masking.names import SIGNS, Secrecy, secrecy
from service.masking.patterns import MASK

# A percent-encoded or JSON-escaped letter of a name; in lower case, like the text that is searched.
_LETTER_ESCAPE = (
    r"%(?:2[de]|5f|3\d|[46][1-9a-f]|[57][\da])"
    r"|\\{1,8}+u(?:00(?:2[de]|3\d|[4-7c-f][\da-f])|0[1-9a-f][\da-f]{2}|[1-9a-f][\da-f]{3})"
)
_LONGEST_BEFORE = 80
_LONGEST_JUDGED = 256
_MOST_WORDS = 12
_HIT = re.compile(
    rf"(?:{'|'.join(SIGNS)}|{_LETTER_ESCAPE})(?:[\w.$-]|{_LETTER_ESCAPE})*+"
    r"(?: (?:code|header|id|key|phrase|string|to|is|was)s?\b)?+"
    # A hit without a separator matches as well, so that no part of a name is read twice.
    r"(?:(?P<close>(?:\\*+[\"'`]|%2[27])?\]?)"
    r"(?P<sign>\s{0,20}(?:=>|->|:=|={1,3}|:(?!:)|%3[ad])"
    # {"name": "API_KEY", "value": "…"}, and (b"x-api-key", b"…"), as headers are printed.
    # <add key="ApiKey" value="…"/>, and `name: API_KEY` with `value: …` on the next line.
    r"|\s{1,20}(?:input_)?value\s?=|[ ]{0,3}\r?\n\s{0,40}value:"
    r"|(?:\s{1,3}[\w:.-]{1,40}=\"[^\"<>]{0,100}\"){1,4}>"
    r"|\s{0,20},\s{0,20}\\*[\"'](?:value|default)\\*[\"']\s{0,20}:|,(?=\s?b?[\"'])|>|\s))?+"
)
_LEFT = re.compile(r"[\w.$%-]*+")
_PREVIOUS_WORD = re.compile(r" ([A-Za-z]{1,20}+)")
_JSON_ESCAPE = re.compile(r"\\++[uU]([\dA-Fa-f]{4})")

# PHP prints the type of a value before it.
_BLANKS = re.compile(r"[ \t]{0,100}+(?:string\(\d{1,6}\)[ \t]{1,3}+)?+")
_OPENING = re.compile(r"[BbFfRrUu]{0,2}(\\*)([\"'`])")
_QUOTE = re.compile(r"(\\*+)([\"'`])")
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[({})\]]', re.DOTALL)
_INDENTED = re.compile(r"[|>][+-]?\d?[ \t]*+(?:\r?\n(?:[ \t]++[^\n]*+|(?=\r?\n)))++")
# The value ends with its line; within JSON, a line ends with its string.
_LINE = re.compile(
    r"(?:[^\r\n\\\"'`]++|\\++(?![\\nr\"'`])|\\*+[\"'`](?!\s{0,20}(?:,\s{0,20}\\*[\"'{\[]|[}\])]|\Z)))*+"
)
_CONTENT = re.compile(r"[^<]*+")
# A separator ends a bare value if another name, a blank or nothing follows. A quote or bracket ends it before
# any character that can follow a closing one.
_BARE_PARTS = (
    r"[,;&|](?!\s|\Z|[\w.$-]{1,64}+\s?[=:]|\\*+[\"'`][\w.$ -]{1,64}+\\*+[\"'`]\s?[=:])"
    r"|\\*+[\"'`)\]}>](?![\s,;:.&)\]}>\"'`\\]|\Z)"
    r"|\\++(?![\\\"'`)\]}>])|[(\[{]|<(?!/)"
)
_BARE = re.compile(rf"(?:[^\s,;&|\"'`()\[\]{{}}<>\\]++|{_BARE_PARTS})*+")
# If the whole text was percent-encoded, the characters that end a value are percent-encoded, too.
_ENCODED = re.compile(
    rf"(?:[^\s,;&|\"'`()\[\]{{}}<>\\%]++|%(?!0[AaDd]|2[02367Cc]|3[Bb]|7[Dd])|{_BARE_PARTS})*+"
)
_AFTER_QUOTE = re.compile(r"[^\s,;&|\"'`()\[\]{}<>\\%]*+")

# The value of these names is the rest of the line: schemes, parameters and several words belong to it.
_WHOLE_LINE = re.compile(r"authori[sz]ation|cookie|phrase|mnemonic|auth[_-]?header", re.IGNORECASE)


# The next word of a sentence, and the words of a list.
_NEXT_WORD = re.compile(r"[ \t]{1,3}[a-z]{2,20}(?=[\s.,;:)]|\Z)")
_WORD_OF_LIST = re.compile(r"(\\{0,8}[\"'])(?:(?!\1).){1,600}?\1|[^\s\[\](){}\"',;:=]{1,600}")
_BETWEEN_WORDS = re.compile(r"[\s;,]+")
_SEPARATOR = re.compile(r"[=:]\s?\S")


def without_assignments(text: str) -> str:
    """Replace the values after secret-looking names."""
    # Of all characters, only U+0130 is longer in lower case; places have to be the same in both texts.
    lowered = text.replace("\u0130", "I").lower()
    pieces: list[str] = []
    done = position = 0
    while hit := _HIT.search(lowered, position):
        position = hit.end()
        if hit["sign"] is None:
            continue
        name_start, name = _name(text, hit.start(), hit.start("close"), done)
        position = hit.end("close")
        how = _secrecy(text, name_start, name, hit, done)
        if how is Secrecy.NONE:
            continue
        begin = _BLANKS.match(text, hit.end()).end()  # type: ignore[union-attr]
        # The beginning of a value decides, so that a value that stays is not read to its end by each name in it.
        first = max(0, name_start - 1)
        window = text[first : begin + _LONGEST_JUDGED]
        end = first + _value_end(window, begin - first, name_start - first, name, hit)
        shown = _replacement(text, begin, end, how, hit)
        if shown is not None and end == begin + _LONGEST_JUDGED:
            end = _value_end(text, begin, name_start, name, hit)
            shown = _replacement(text, begin, end, how, hit) or shown
        if shown is not None:
            position = max(position, end)
            pieces += [text[done:begin], shown]
            done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def _replacement(text: str, begin: int, end: int, how: Secrecy, hit: re.Match[str]) -> str | None:
    """Return the replacement of the value after a name, or None if the value stays."""
    value = text[begin:end]
    if value[:1] in ("{", "[", "(") and not hit["sign"].endswith(">"):
        # The names within it decide; only the strings of a list belong to this one.
        return None if value[0] == "{" or _SEPARATOR.search(value) else _shown_list(value, how)
    return None if _is_prose(text, value, end, hit["sign"]) else _shown(value, how, hit["close"])


def _name(text: str, hit: int, end: int, done: int) -> tuple[int, str]:
    """Return the beginning of the name around a hit, and the name."""
    before = text[max(done, hit - _LONGEST_BEFORE) : hit][::-1]
    start = hit - _LEFT.match(before).end()  # type: ignore[union-attr]
    # The n of an escaped line break is not a letter of the name.
    if start < hit and start > done and text[start - 1] == "\\" and text[start] in "bfnrt":
        start += 1
    return start, _decoded(text[start:end])


def _decoded(name: str) -> str:
    if "\\" in name:
        name = _JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)
    return unquote(name) if "%" in name else name


def _secrecy(text: str, start: int, name: str, hit: re.Match[str], done: int) -> Secrecy:
    sign = hit["sign"]
    if (
        (sign.isspace() and not (name.startswith("-") and not hit["close"]))
        or (
            sign.endswith(">")
            and sign[-2:] not in ("=>", "->")
            and not (start > done and text[start - 1] in "<:")
        )
        or (sign == "," and not text[max(done, start - 4) : start].rstrip("\"'`\\bu ").endswith("("))
        # arn:aws:secretsmanager:…:secret:…
        or (sign == ":" and not hit["close"] and start > done and text[start - 1] == ":")
    ):
        return Secrecy.NONE
    how = secrecy(name)
    if how is Secrecy.NONE and start > done and text[start - 1] == " ":
        word = _PREVIOUS_WORD.match(text[max(done, start - 21) : start][::-1])
        # In "API key" and "connection string", neither of the two words is a secret name alone.
        how = secrecy(f"{word[1][::-1]} {name}") if word else how
    return how


def _value_end(text: str, begin: int, name_start: int, name: str, hit: re.Match[str]) -> int:
    if hit["sign"].endswith(">") and hit["sign"].strip() not in ("=>", "->"):
        return _end(_CONTENT, text, begin)
    encoded = hit["sign"].lstrip().startswith("%") or hit["close"].startswith("%")
    bare = _ENCODED if encoded else _BARE
    if opening := _OPENING.match(text, begin):
        return _end(_AFTER_QUOTE, text, _quoted_end(text, opening))
    if encoded and text[begin : begin + 3] in ("%22", "%27"):
        closing = text.find(text[begin : begin + 3], begin + 3)
        return len(text) if closing < 0 else closing + 3
    if text.startswith(MASK, begin):
        return _end(bare, text, begin + len(MASK))
    if text[begin : begin + 1] in ("[", "{", "("):
        return _end(bare, text, _bracketed_end(text, begin))
    if block := _INDENTED.match(text, begin):
        return block.end()
    before = text[name_start - 1 : name_start] if name_start else ""
    if _WHOLE_LINE.search(name) and not hit["close"] and not encoded and before not in ("?", "&"):
        line = _end(_LINE, text, begin)
        closing = text.find(before, begin, line) if before in ('"', "'", "`") else -1
        return line if closing < 0 else closing
    return _end(bare, text, begin)


def _end(pattern: re.Pattern[str], text: str, begin: int) -> int:
    found = pattern.match(text, begin)
    return begin if found is None else found.end()


def _quoted_end(text: str, opening: re.Match[str]) -> int:
    """Find the end of a quoted value, at any depth of escaping; a value that was cut ends with the text."""
    depth, quote = len(opening[1]), opening[2]
    position = opening.end()
    while found := _QUOTE.search(text, position):
        position = found.end()
        # A quote within the value has more backslashes before it; an escaped backslash has twice as many.
        if found[2] != quote or len(found[1]) % (2 * (depth + 1)) != depth:
            continue
        doubled = text.startswith(quote, position) and not depth and found.start() > opening.end()
        if not doubled:
            return position
        position += 1
    return len(text)


def _bracketed_end(text: str, begin: int) -> int:
    """Find the closing bracket of an opening one; a value that was cut ends with the text."""
    depth = 0
    position = begin
    while found := _BRACKET.search(text, position):
        position = found.end()
        if found[0] in "[({":
            depth += 1
        elif found[0] in "])}":
            depth -= 1
            if not depth:
                return position
    return len(text)


def _is_prose(text: str, value: str, end: int, sign: str) -> bool:
    """Tell if a bare word after a colon is followed by more words: `password: must be longer`."""
    word = value.rstrip(".,;)")
    if sign == ":" and word.isalpha() and word.islower():
        return True
    return (
        sign.strip() == ":"
        and (word.isdigit() or (word.isalpha() and word[1:].islower()))
        and _NEXT_WORD.match(text, end) is not None
    )


def _shown_list(value: str, how: Secrecy) -> str | None:
    """Mask the strings of a list, which may be one word in brackets."""
    shown = _WORD_OF_LIST.sub(lambda found: _shown_word(found, how), value)
    return None if shown == value else shown


def _shown_word(found: re.Match[str], how: Secrecy) -> str:
    quote = found[1] or ""
    word = found[0][len(quote) : len(found[0]) - len(quote)]
    return f"{quote}{MASK}{quote}" if could_be_secret(word, how, bare=not quote) else found[0]


def _shown(value: str, how: Secrecy, close: str) -> str | None:
    """Return the replacement of a value, or None if the value stays."""
    if opening := _OPENING.match(value):
        quote = opening[1] + opening[2]
        inner = value[opening.end() :]
        inner = inner.removesuffix(quote)
        if MASK in inner or _is_cut_mask(inner) or not could_be_secret(_unescaped(inner), how):
            return None
        return f"{opening[0]}{MASK}{quote}"
    if MASK in value or _is_cut_mask(value):
        return None
    if value.startswith("%2"):
        return f"{value[:3]}{MASK}{value[:3]}" if could_be_secret(value[3:-3], how) else None
    # A line of a header and a block of YAML have several words, one of which is the secret.
    if not any(
        could_be_secret(word, how, bare=True) for word in (value, *_first_line(value), *_words(value))
    ):
        return None
    # After a quoted name, as in JSON, a bare value is replaced by a quoted one: the text stays JSON.
    quote = close.rstrip("]")
    return f"{quote}{MASK}{quote}" if quote and not close.endswith("]") else MASK


def _first_line(value: str) -> list[str]:
    """List what stands before an escaped line break, which otherwise reads as a part of a path."""
    first, line_break, _ = value[:_LONGEST_JUDGED].partition("\\n")
    return [first] if line_break and not first.endswith(":") else []


def _words(value: str) -> Iterator[str]:
    parts = _BETWEEN_WORDS.split(value[:_LONGEST_JUDGED], maxsplit=_MOST_WORDS)[:_MOST_WORDS]
    return (part.rpartition("=")[2] or part for part in parts) if len(parts) > 1 else iter(())


def _unescaped(value: str) -> str:
    return value.replace("\\", "")


def _is_cut_mask(value: str) -> bool:
    return value != "" and MASK.startswith(value)
