r"""Import small dumps of wikis in 15 languages, and tell what of each came out right.

    PYTHONPATH=. python benchmarks/wiki_languages.py --json docs/results/wiki_languages.json \
        --markdown docs/results/wiki_languages.md

Each dump has the wiki's real namespaces, its word for redirects, its mark of disambiguation pages and its heading of
related articles; two articles in its language link to one another, once by another name, and once in the case of the
sentence. `tests/support/wiki_languages.py` makes them, and the tests check the same. It takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from kgrl.system.files import write_json, write_text
from tests.support.wiki_languages import WIKIS, Found, Wiki, read_dump

_COMMAND = (
    "PYTHONPATH=. python benchmarks/wiki_languages.py --json docs/results/wiki_languages.json "
    "--markdown docs/results/wiki_languages.md"
)
_PAGE = """# Wikis of 15 languages

A small dump of each wiki is imported: two articles in its language, a redirect, a disambiguation page, a talk page
and a category. Namespaces, the word of redirects, the mark of disambiguation pages and the heading of related
articles are the wiki's own. The table has what came out right, of what the dump holds. Sentences are compared letter
by letter; they have abbreviations, quotations and first letters of their language. Links are written as the sentence
has them, once through a redirect. The dumps are made up, and the tests check the same: the table shows that nothing
is lost, not how often sentences of real wikis are cut wrongly.

```sh
{command}
```

{table}

Right: {right} of {all}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    rows = []
    for wiki in WIKIS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"language": wiki.language, **figures(wiki, read_dump(wiki, Path(folder)))})
    print(json.dumps(rows, indent=1))
    if args.json:
        write_json(args.json, {"wikis": rows})
    if args.markdown:
        write_text(args.markdown, page(rows))


def figures(wiki: Wiki, found: Found) -> dict[str, list[int]]:
    """Return, for each kind of thing that a dump holds, how many came out right and how many there are."""
    moon, earth = wiki.names[:2]
    links = {(moon, earth), (earth, moon)}
    right_sentences = sum(sentence in found.sentences for sentence in wiki.sentences)
    return {
        "articles": [sum(title in found.titles for title in (moon, earth)), 2],
        "redirects": [int(found.redirects == 1), 1],
        "disambiguations": [int(found.left_out.get("disambiguation") == 1), 1],
        "other namespaces": [found.left_out.get("another namespace", 0), 2],
        "categories": [sum(category == wiki.category for category in found.categories), 2],
        "links": [len(links & found.links) - len(found.links - links), 2],
        "sentences": [right_sentences - max(0, len(found.sentences) - len(wiki.sentences)), len(wiki.sentences)],
        "held-out splits": [len(found.held_out), 2],
    }


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page with the table."""
    kinds = [kind for kind in rows[0] if kind != "language"]
    lines = [f"| language | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for row in rows:
        cells = (f"{row[kind][0]} of {row[kind][1]}" for kind in kinds)
        lines.append(f"| {row['language']} | {' | '.join(cells)} |")
    right, everything = (sum(row[kind][place] for row in rows for kind in kinds) for place in (0, 1))
    return _PAGE.format(command=_COMMAND, table="\n".join(lines), right=right, all=everything)


if __name__ == "__main__":
    main()
