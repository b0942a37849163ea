"""Wordings in which the passages of an invented world tell its facts.

`{s}` stands for the topic of a passage as the subject of a sentence, `{n}` for its full name, `{o}` for the object of
a fact, and `{r}` for the relation.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ANY_FACT", "FACTS", "KINDS", "OPENINGS", "TRAITS"]


KINDS: Mapping[str, tuple[str, ...]] = {
    "People": (
        *("cartographer", "glassblower", "astronomer", "bell-founder", "physician", "engraver", "jurist", "botanist"),
        *("navigator", "composer", "mason", "apothecary", "translator", "clockmaker", "falconer", "chronicler"),
    ),
    "Places": (
        *("harbour town", "hill fort", "market town", "river crossing", "mining village", "walled city"),
        *("island settlement", "monastery town", "lakeside village", "mountain hamlet"),
    ),
    "Institutions": ("Academy", "College", "Conservatory", "Institute", "Seminary", "Observatory", "Lyceum"),
    "Events": ("Congress", "Rising", "Siege", "Regatta", "Accord", "Expedition", "Assembly", "Blockade"),
    "Works": ("Codex", "Chronicle", "Atlas", "Ballad", "Treatise", "Almanac", "Hymnal", "Epic", "Dialogue"),
}
"""Kinds of topics by category. A kind with a capital is part of the title."""

TRAITS: Mapping[str, tuple[str, ...]] = {
    "People": (
        *("great patience", "a sharp tongue", "beautiful handwriting", "a long beard of copper red", "early rising"),
        *("debts never paid", "a collection of shells", "a fear of bridges", "quiet generosity", "endless letters"),
    ),
    "Places": (
        *("blue glass", "grey salt", "smoked eel", "tin lamps", "woven reed", "black honey", "slate roofs"),
        *("painted doors", "pear orchards", "carved oars", "sheep fairs", "hot springs"),
    ),
    "Institutions": (
        *("tidal astronomy", "the law of rivers", "choral singing", "bronze casting", "the grammar of old tongues"),
        *("medicine for horses", "bee-keeping", "the history of borders", "rhetoric", "the theory of knots"),
    ),
    "Events": ("nine days", "a whole winter", "forty hours", "three summers", "a single night", "eleven weeks"),
    "Works": (
        *("vellum", "birch bark", "thin copper sheets", "linen paper", "oiled silk", "wax tablets", "cedar boards"),
    ),
}
"""Details that passages mention of a topic, by category."""

OPENINGS: Mapping[str, tuple[str, ...]] = {
    "People": (
        "{s}, {a_kind} remembered for {trait}, was active around the year {year}",
        "Around {year} hardly any {kind} was as well known as {s}, of whom {trait} is always mentioned",
        "{s} worked as {a_kind} in the years after {year} and was famous for {trait}",
        "Of all who called themselves {kind}, {s} is the one whom people connect with {trait}; the date is {year}",
        "The life of {s}, by profession {a_kind}, falls into the time near {year}; {trait} is part of the legend",
        "By trade {s} was {a_kind}, and writers who lived near {year} speak mostly of {trait}",
        "{s} earned a living as {a_kind} when {year} was being written, and is known for {trait}",
        "If {year} had a celebrated {kind}, it was {s}, about whom one hears first of {trait}",
        "Under {s} an encyclopaedia has {year}, the word {kind}, and then {trait}",
    ),
    "Places": (
        "{s} is {a_kind} known for {trait}, with records going back to {year}",
        "First written of in {year}, {s} is {a_kind} with a name for {trait}",
        "Merchants know {s}, {a_kind} since {year}, because of its {trait}",
        "Whoever thinks of {trait} thinks of {s}, {a_kind} whose charter dates from {year}",
        "{s} has been {a_kind} from {year} onward, and its pride is {trait}",
        "Anyone who looks for {trait} should visit {s}, which became {a_kind} in {year}",
        "The oldest document about {s} is of {year}; today it is {a_kind} that lives by {trait}",
        "There is {a_kind} by the name of {s}, settled about {year}, that everyone links with {trait}",
        "Since {year} people have lived in {s}, and as {a_kind} it has prospered on {trait}",
    ),
    "Institutions": (
        "{s} opened its doors in {year} and is devoted to {trait}",
        "Lessons in {trait} have been given at {s} ever since {year}",
        "For {trait} one attends {s}; the statutes of the {kind} are of {year}",
        "In {year} a new {kind} was opened, {s}, with {trait} as its main study",
        "Few know more about {trait} than the scholars of {s}, who first met in {year}",
        "Where {trait} is concerned no {kind} ranks above {s}, at work from {year} on",
        "The first bell of {s} was rung in {year}, and {trait} was the subject from the start",
        "Students of {trait} have had {s} for {a_kind} since {year}",
        "{year} is carved above the gate of {s}, within whose walls {trait} is taught",
    ),
    "Events": (
        "{s} of {year} lasted for {trait}",
        "It took {trait} in {year} until {s} was over",
        "In the year {year} {s} kept everybody busy for {trait}",
        "{s} began in {year} and went on for {trait}, longer than any {kind} before",
        "Historians date {s} to {year} and agree that it lasted {trait}",
        "For {trait} in {year} nothing was spoken of but {s}",
        "The {kind} that filled {trait} of {year} is known as {s}",
        "When {year} came, so did {s}, and {trait} passed before it ended",
        "No {kind} of {year} is as famous as {s}, all {trait} of it",
    ),
    "Works": (
        "{s} was finished in {year} and written on {trait}",
        "On {trait}, and with the date {year} at its end, {s} has come down to us",
        "{s} is {a_kind} of {year}; its first copy is on {trait}",
        "Scribes made the first copy of {s} on {trait} in {year}",
        "The {kind} known as {s} goes back to {year} and was put down on {trait}",
        "Readers had to wait until {year} for {s}, whose pages are of {trait}",
        "Being on {trait}, {s} is easily damaged, but since {year} it has survived",
        "{year} saw the completion of {s}, for which {trait} served as paper",
        "That {s} is on {trait} proves that the {kind} was begun before {year} was out",
    ),
}
"""First sentences of passages, by category of the topic."""

ANY_FACT = (
    "The {r} of {n}, so all sources say, was {o}",
    "{o} is given as the {r} of {n} in every register",
    "Asked about the {r} of {n}, a child will answer that it is {o}",
)
"""Sentences that tell a fact of any relation."""

FACTS: Mapping[str, tuple[str, ...]] = {
    "capital": (
        "{s} is governed from {o}, its capital",
        "{s} belongs to the lands whose capital is {o}",
        "Taxes from {s} have always been sent to {o}",
        "For all matters of law {s} looks to its capital {o}",
        "An old road joins {s} to {o}, from where it is ruled",
        "The council that decides for {s} meets in {o}",
        "Map-makers colour {s} as a possession of {o}",
        "Every judge in {s} has to be appointed by {o}",
        "Whoever rules in {o} rules in {s} as well",
    ),
    "namesake": (
        "{s} takes its name from {o}, its namesake",
        "It was in honour of {o} that {s} was named",
        "A statue of its namesake {o} can be seen in {s}",
        "The first settlers called {s} after {o}",
        "{s} has {o} as its namesake, and keeps the birthday as a feast",
        "The name of {s} comes down from {o}",
        "In naming {s} people were thinking of {o}",
        "That {s} is called what it is called goes back to {o}",
        "{s} still bears the name that was given to it for the sake of {o}",
    ),
    "birthplace": (
        "{s} was born in {o}",
        "A small house in {o} is shown as the birthplace",
        "Parish books tell that {s} was born at {o}",
        "{s} came into the world in {o}, a birthplace of which the letters are full",
        "The parents lived in {o}, where {s} was born",
        "{s} first saw the light of day in {o}",
        "It was {o} in which {s} began life",
        "{s} was a native of {o}",
        "The cradle in which {s} lay stood in {o}",
    ),
    "school": (
        "{s} went to school at {o}",
        "{s} studied at {o} for some years",
        "The only school that {s} ever attended was {o}",
        "As a student {s} was enrolled at {o}",
        "{o} was the school where {s} learned the craft",
        "A diploma shows that {s} was trained by {o}",
        "{s} sat for the examinations of {o}",
        "{s} owed a good education to {o}",
        "In the lists of {o} {s} is found among the graduates",
    ),
    "mentor": (
        "{s} had {o} for a mentor",
        "It was {o} from whom {s} learned, a mentor for life",
        "{s} was the pupil of {o}",
        "In youth {s} assisted {o}, a strict mentor",
        "{s} took daily lessons from {o}",
        "{s} called {o} the best of teachers",
        "The example that {s} imitated was set by {o}",
        "{s} followed in the footsteps of {o}, to whom all the early letters are addressed",
        "Without the instruction of {o}, so it is said, {s} would have come to nothing",
    ),
    "seat": (
        "{s} has its seat in {o}",
        "The halls of {s} stand in {o}",
        "Visitors to {o} can walk through the rooms of {s}",
        "{s} has never moved its seat away from {o}",
        "{s} is located in {o}",
        "To hear a lecture at {s} one has to travel to {o}",
        "The address of {s} is in {o}",
        "{o} is home to {s}",
        "Its tower makes {s} the landmark of {o}",
    ),
    "founder": (
        "{s} was founded by {o}",
        "{s} honours {o} as its founder",
        "It was {o} who gave the money to found {s}",
        "A portrait of {o}, the founder, hangs in the library",
        "With a few friends {o} founded {s}",
        "{s} was brought into being by {o}",
        "{s} would not be there without {o}",
        "{s} started as an idea of {o}",
        "The deed that established {s} is signed by {o}",
    ),
    "site": (
        "{s} took place in {o}",
        "{o} was the site of the events",
        "Those who came for {s} gathered at {o}",
        "In {o} a stone marks the site where {s} happened",
        "{s} was held at {o}",
        "The people of {o} saw {s} from their windows",
        "The setting of {s} was {o}",
        "Nowhere but in {o} could {s} have occurred",
        "{s} was played out in the streets of {o}",
    ),
    "leader": (
        "{s} was led by {o}",
        "Its leader was the famous {o}",
        "At the head of {s} stood {o}",
        "{s} had in {o} a leader whom nobody dared to contradict",
        "It was {o} who led {s} to its end",
        "All orders during {s} were given by {o}",
        "{s} was directed by {o}",
        "In {s} everyone did what {o} said",
        "The command of {s} lay in the hands of {o}",
    ),
    "author": (
        "{s} was written by {o}",
        "The author {o} worked on it for a decade",
        "{s} names {o} as its author on the first page",
        "It was {o} who wrote {s}",
        "{s} is the best known of all that {o} wrote",
        "{s} comes from the pen of {o}",
        "{o} is credited with {s}",
        "{s} was dictated word for word by {o}",
        "The handwriting in {s} is without doubt that of {o}",
    ),
    "keeper": (
        "{s} is kept at {o}",
        "The keeper of the only copy is {o}",
        "{s} belongs to the treasures of {o}",
        "{s} can be read in the library of {o}, its keeper",
        "A locked case at {o} holds {s}",
        "Whoever wants to see {s} has to write to {o}",
        "{s} has found a home on the shelves of {o}",
        "{s} was left to {o} and is guarded there",
        "The archive of {o} has {s} in its care",
    ),
    "subject": (
        "{s} tells of {o}",
        "{s} has {o} as its subject",
        "The subject that runs through {s} is {o}",
        "{s} describes {o} day by day",
        "In its longest part {s} is about {o}",
        "What we know about {o} we know from {s}",
        "{s} recounts what happened during {o}",
        "Anybody who reads {s} relives {o}",
        "{s} is a witness of {o}",
    ),
}
"""Sentences that tell a fact, by relation."""
