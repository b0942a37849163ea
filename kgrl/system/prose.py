"""Prose of a page's plain text: without headings, appendices, formulas and control characters, in any language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import regex

__all__ = ["clean_line", "clean_text", "ends_sentence", "is_appendix", "plain_sections"]

_HEADING_WORDS, _HEADING_CHARACTERS = 8, 80
"""Lengths of a heading or list item: a line shorter than both that does not end like a sentence is dropped."""
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\ufeff\ud800-\udfff]")
_MARKED_HEADING = re.compile(r"(=+)([^=]*)=+")
_SENTENCE_END = regex.compile(r"[\p{Sentence_Terminal}.:;…\u061b\uff1a\uff1b][\p{Pe}\p{Pf}\p{Pi}\"'”’»]*$")
"""An end of a sentence in any script, and what may follow it."""
_TEX = re.compile(r"\{\\(?:display|text|script)style\b")
_BRACE = re.compile(r"[{}]")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_APPENDIX_WORDS = (
    "see also|references|notes|external links|further reading|bibliography|footnotes|citations|"
    "notes and references|works cited|siehe auch|weblinks|einzelnachweise|quellen|belege|anmerkungen|fußnoten|"
    "voir aussi|références|notes et références|liens externes|bibliographie|articles connexes|lien externe|"
    "annexes|véase también|referencias|enlaces externos|bibliografía|notas|lecturas adicionales|ver também|"
    "referências|ligações externas|bibliografia|notas e referências|см. также|примечания|ссылки|див. також|"
    "примітки|посилання|zobacz też|przypisy|linki zewnętrzne|uwagi|zie ook|externe links|externe link|"
    "referenties|noten|bronnen, noten en/of referenties|ayrıca bakınız|kaynakça|dış bağlantılar|notlar|"
    "konuyla ilgili yayınlar|같이 보기|각주|외부 링크|참고 문헌|주해|関連項目|脚注|外部リンク|参考文献|出典|注釈|"
    "参见|參見|參考文獻|参考资料|參考資料|外部链接|外部連結|注释|註釋|相关条目|相關條目|延伸阅读|延伸閱讀|"
    "انظر أيضا|انظر أيضًا|المراجع|مراجع|وصلات خارجية|روابط خارجية|هوامش|इन्हें भी देखें|यह भी देखें|सन्दर्भ|"
    "संदर्भ|बाहरी कड़ियाँ|बाहरी कड़ियां|टिप्पणी|იხილეთ აგრეთვე|რესურსები ინტერნეტში|სქოლიო|გარე ბმულები|"
    "voci correlate|note|collegamenti esterni|altri progetti|se även|referenser|externa länkar|noter|se også|"
    "referencer|eksterne henvisninger|eksterne lenker|referanser|katso myös|lähteet|aiheesta muualla|viitteet|"
    "související články|reference|externí odkazy|poznámky|lásd még|jegyzetek|további információk|"
    "külső hivatkozások|vezi și|legături externe|ראו גם|הערות שוליים|קישורים חיצוניים|לקריאה נוספת|"
    "جستارهای وابسته|منابع|پیوند به بیرون|پانویس|xem thêm|tham khảo|liên kết ngoài|ghi chú|chú thích|lihat pula|"
    "lihat juga|referensi|rujukan|pranala luar|pautan luar|ดูเพิ่ม|อ้างอิง|แหล่งข้อมูลอื่น|δείτε επίσης|"
    "παραπομπές|εξωτερικοί σύνδεσμοι|vegeu també|referències|enllaços externs"
)
"""Headings of sections that list instead of telling, in the words of larger wikis. Words that may also head prose, such
as "Sources" of a river, are not among them."""
_APPENDICES = frozenset(_APPENDIX_WORDS.split("|"))


def clean_text(text: str) -> str:
    r"""Return the prose of a page, one paragraph a line, without control characters, headings and extra spaces.

    Formulas that a site writes twice, as letters and as TeX, are taken out of their sentences. A section whose heading
    is marked by equals signs and says "See also", "References" or the like, in any of many languages, is left out.
    Time and memory are proportional to the text's length for any text.

    Args:
        text: Plain text, paragraphs separated by line feeds.

    Example:
        >>> clean_text("== History ==\n Logic  is old. \n\nSee also")
        'Logic is old.'
        >>> clean_text("The mass\n  \n    \n      m\n    {\\displaystyle m}\n  \n is at rest.")
        'The mass is at rest.'
    """
    lines = map(clean_line, _without_tex(text.replace("\r", "\n")).split("\n"))
    return "\n\n".join(line for line, heading in _outside_appendices(lines) if heading is None and _is_prose(line))


def plain_sections(text: str) -> str:
    r"""Return a text whose headings are marked by equals signs without these signs, and without appendices.

    Example:
        >>> plain_sections("Logic is old.\n== History ==\nIt began.\n== See also ==\nSet").split("\n")
        ['Logic is old.', 'History', 'It began.']
    """
    kept = _outside_appendices(text.split("\n"))
    return "\n".join(line if heading is None else heading for line, heading in kept).rstrip()


def _outside_appendices(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the lines that are not in an appendix, each with the heading that it is."""
    appendix = 0  # level of the heading of an appendix that goes on
    for line in lines:
        heading = _MARKED_HEADING.fullmatch(line.strip())
        if heading and not 0 < appendix < len(heading[1]):
            appendix = len(heading[1]) if is_appendix(heading[2]) else 0
        if not appendix:
            yield line, heading[2].strip() if heading else None


def clean_line(line: str) -> str:
    r"""Return a line without control characters, and with single spaces.

    Example:
        >>> clean_line(" Logic \u200e is\told ")
        'Logic is old'
    """
    return " ".join(_CONTROL.sub(" ", line).split())


def ends_sentence(text: str) -> bool:
    """Return whether a text ends like a sentence, in any script.

    Example:
        >>> ends_sentence("He left.”"), ends_sentence("今天下雨。"), ends_sentence("See also")
        (True, True, False)
    """
    # Closing quotes and brackets after the end are few; a bound keeps time proportional to the number of texts.
    return _SENTENCE_END.search(text[-10:]) is not None


def is_appendix(heading: str) -> bool:
    """Return whether a heading is that of references, links and the like.

    Example:
        >>> is_appendix(" See also "), is_appendix("Einzelnachweise"), is_appendix("History")
        (True, True, False)
    """
    return " ".join(heading.split()).casefold() in _APPENDICES


def _is_prose(line: str) -> bool:
    short = len(line) < _HEADING_CHARACTERS and len(line.split()) < _HEADING_WORDS
    return bool(line) and (not short or ends_sentence(line))


def _without_tex(text: str) -> str:
    """Take out formulas as MediaWiki's plain text has them: letters on lines of their own, or in line, and then TeX."""
    parts: list[str] = []
    at = 0
    for start in _TEX.finditer(text):
        if start.start() < at:
            continue  # inside of a formula
        end = _end_of_braces(text, start.start())
        tex = text[start.start() : end]
        before = _without_letters(text[at : start.start()], tex)
        full_stop = tex.rstrip("} ").endswith(".")
        parts.append(f"{before}{'.' if full_stop else ''} ")
        at = end
        while at < len(text) and text[at].isspace():
            at += 1
        if at < len(text) and text[at] in ",.;:)":
            parts[-1] = parts[-1].rstrip()
    return "".join((*parts, text[at:]))


def _end_of_braces(text: str, start: int) -> int:
    """Return the position behind the brace that closes the one at `start`; the end of its line if none does."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    line = text.find("\n", start)
    return line if line >= 0 else len(text)


def _without_letters(before: str, tex: str) -> str:
    """Take the letters of a formula away from the end of the text before its TeX."""
    kept = before.rstrip()
    lines = before.split("\n")
    if len(lines) > 1:
        # A formula's letters are indented, and prose is not.
        while lines and (not lines[-1].strip() or lines[-1].startswith("  ")):
            lines.pop()
        kept = "\n".join(lines).rstrip()
        if len(kept) < len(before.rstrip()):
            return kept
    letters = Counter(_COMMAND.sub(" ", tex))
    names = set(_COMMAND.findall(tex))
    while kept:
        word = re.search(r"\S{1,40}$", kept)
        if word is None or not _of_formula(word[0], letters, names):
            break
        kept = kept[: word.start()].rstrip()
    return kept


def _of_formula(word: str, letters: Counter[str], names: set[str]) -> bool:
    """Return whether a word is part of a formula with these letters, which are then used up."""
    used = Counter(letter for letter in word if letter.isascii() and letter.isalnum())
    if word in names:
        return True
    if used - letters:
        return False
    if not used and any(letter.isalnum() for letter in word):
        return len(word) == 1 and bool(names)  # a Greek letter, whose name is in the TeX
    letters.subtract(used)
    return True
