"""Names of people, places and things that do not exist, made of syllables."""

from __future__ import annotations

from collections.abc import Mapping

from kgrl.data.invented.draws import Draws

__all__ = ["Namer"]


def _parts(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


_ONSETS = _parts("b br d dr f g gl gr h k kr l m n p r s sk t th tr v vr z")
_VOWELS = _parts("a e i o u ae ei ou")
_CODAS = _parts("l m n r s th v rn lm sk")
_GIVEN_NAMES = 80
_GIVEN_ENDINGS = _parts("a o is en iel ara")
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "People": _parts("ane oth ivar enko ulme arest ondi ith"),
    "Places": _parts("mere holt wick dun gard stov haven ora"),
    "Institutions": _parts("an ium eor astre"),
    "Events": _parts("ak und ell ory"),
    "Works": _parts("ian esh otis ume"),
}


class Namer:
    """Names topics; no two topics share the word that tells them from others of their kind.

    Args:
        draws: The draws that names are made of.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._taken: set[str] = set()
        self._given = [self._word(_GIVEN_ENDINGS, syllables=1) for _ in range(_GIVEN_NAMES)]

    def title(self, category: str, kind: str) -> str:
        """Return a new title: given name and family name, a place's name, or a word and what it is the name of."""
        word = self._word(_ENDINGS[category], syllables=2)
        if category == "People":
            return f"{self._draws.pick(self._given)} {word}"
        return word if category == "Places" else f"{word} {kind}"

    def _word(self, endings: tuple[str, ...], syllables: int) -> str:
        """A word that was not made before."""
        pick = self._draws.pick
        while True:
            stem = "".join(pick(_ONSETS) + pick(_VOWELS) for _ in range(syllables))
            word = (stem + pick(_CODAS) + pick(endings)).capitalize()
            if word not in self._taken:
                self._taken.add(word)
                return word
