"""Small dumps of wikis in 15 languages, with the namespaces, words and templates of those wikis, and what they hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from kgrl.corpus import Split
from kgrl.data import load_corpus
from kgrl.data.wikimedia.dump import import_dump
from kgrl.system.sentences import sentences_of

_VARIANT = re.compile(r"-\(zh-hans:(.*?);.*?\)-")


@dataclass(frozen=True)
class Wiki:
    """A wiki and its two articles, the moon and the earth.

    Args:
        language: Its code.
        namespaces: The local names of talk, file, template and category, separated by bars.
        redirect: The word of its redirects.
        choice: What marks its disambiguation pages: a template or a category.
        see_also: Its heading of related articles.
        category: The category of both articles.
        titles: The moon, the earth, another name of the earth, and a word of several meanings, separated by bars.
        moon: Sentences about the moon. A word in square brackets links to the earth, one in braces to its other name,
            as the language writes them inside a sentence. `-(zh-hans:x; zh-hant:y;)-` stands for variants.
        earth: Sentences about the earth.
    """

    language: str
    namespaces: str
    redirect: str
    choice: str
    see_also: str
    category: str
    titles: str
    moon: tuple[str, ...]
    earth: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The titles: the moon, the earth, its other name, the choice."""
        return self.titles.split("|")

    @property
    def sentences(self) -> list[str]:
        """All sentences as they are shown."""
        signs = {ord(sign): None for sign in "[]{}"}
        return [_VARIANT.sub(r"\1", sentence.translate(signs)) for sentence in (*self.moon, *self.earth)]


WIKIS = (
    Wiki(
        "en",
        "Talk|File|Template|Category",
        "REDIRECT",
        "{{disambiguation}}",
        "See also",
        "Planets",
        "Moon|Earth|Blue planet|Mercury",
        (
            "The Moon goes round the [earth] in a month.",
            "Dr. Brown said that the {blue planet} looks large from there.",
            "It has no air, i.e. no sound.",
            "iPhones would not work.",
            "“Who lives there?” children ask.",
        ),
        (
            "The Earth turns once a day.",
            "J. R. Smith measured it in the U.S. in 1901.",
            "Its oceans are deep.",
            "Life began there early!",
        ),
    ),
    Wiki(
        "de",
        "Diskussion|Datei|Vorlage|Kategorie",
        "WEITERLEITUNG",
        "{{Begriffsklärung}}",
        "Siehe auch",
        "Planet",
        "Mond|Erde|Blauer Planet|Merkur",
        (
            "Der Mond umkreist die [Erde] in einem Monat.",
            "Von dort sieht der {blauer Planet} groß aus, z. B. am Abend.",
            "„Wer wohnt dort?“ fragen Kinder.",
            "Übrigens gibt es keine Luft.",
            "Dr. Braun war nie dort.",
        ),
        (
            "Die Erde dreht sich jeden Tag.",
            "Ihre Meere sind tief.",
            "Das Leben begann früh!",
            "Ähnlich ist kein anderer.",
        ),
    ),
    Wiki(
        "fr",
        "Discussion|Fichier|Modèle|Catégorie",
        "REDIRECTION",
        "{{Homonymie}}",
        "Voir aussi",
        "Planète",
        "Lune|Terre|Planète bleue|Mercure",
        (
            "La Lune tourne autour de la [terre] en un mois.",
            "De là, la {planète bleue} paraît grande, dit M. Dupont.",
            "« Qui habite là ? » demandent les enfants.",
            "Écoutez le silence.",
            "L'air y manque.",
        ),
        (
            "La Terre tourne chaque jour.",
            "Ses mers sont profondes.",
            "À l'origine, la vie y commença !",
            "Elle est ronde.",
        ),
    ),
    Wiki(
        "es",
        "Discusión|Archivo|Plantilla|Categoría",
        "REDIRECCIÓN",
        "{{desambiguación}}",
        "Véase también",
        "Planetas",
        "Luna|Tierra|Planeta azul|Mercurio",
        (
            "La Luna gira en torno a la [tierra] en un mes.",
            "Desde allí el {planeta azul} parece grande, dice el Sr. López.",
            "¿Quién vive allí?",
            "¡Nadie vive allí!",
            "Él no tiene aire.",
        ),
        ("La Tierra gira cada día.", "Sus mares son hondos.", "Ñandúes viven en ella.", "¿Es redonda?"),
    ),
    Wiki(
        "pt",
        "Discussão|Ficheiro|Predefinição|Categoria",
        "REDIRECIONAMENTO",
        "{{Desambiguação}}",
        "Ver também",
        "Planetas",
        "Lua|Terra|Planeta azul|Mercúrio",
        (
            "A Lua gira em torno da [terra] num mês.",
            "De lá o {planeta azul} parece grande, diz o Sr. Silva.",
            "É um lugar sem ar.",
            "Ninguém mora lá.",
            "“Quem mora lá?” perguntam as crianças.",
        ),
        ("A Terra gira todos os dias.", "Os seus mares são fundos.", "Água não lhe falta.", "Ela é redonda!"),
    ),
    Wiki(
        "ru",
        "Обсуждение|Файл|Шаблон|Категория",
        "перенаправление",
        "{{неоднозначность}}",
        "См. также",
        "Планеты",
        "Луна|Земля|Голубая планета|Меркурий",
        (
            "Луна обходит [землю] за месяц.",
            "Оттуда {голубая планета} кажется большой, писал А. С. Иванов.",
            "Там нет воздуха, т. е. нет звука.",
            "«Кто там живёт?» спрашивают дети.",
            "Этого не знает никто.",
        ),
        ("Земля вращается каждый день.", "Её моря глубоки.", "Жизнь началась рано!", "Ёлки растут на ней."),
    ),
    Wiki(
        "pl",
        "Dyskusja|Plik|Szablon|Kategoria",
        "PATRZ",
        "{{ujednoznacznienie}}",
        "Zobacz też",
        "Planety",
        "Księżyc|Ziemia|Błękitna planeta|Merkury",
        (
            "Księżyc okrąża [ziemię] w miesiąc.",
            "Stamtąd {błękitna planeta} wydaje się duża, pisał A. Nowak.",
            "Świat ten nie ma powietrza.",
            "Łatwo tam skakać.",
            "„Kto tam mieszka?” pytają dzieci.",
        ),
        (
            "Ziemia obraca się co dzień.",
            "Jej morza są głębokie.",
            "Życie zaczęło się wcześnie!",
            "Źródła biją na niej.",
        ),
    ),
    Wiki(
        "nl",
        "Overleg|Bestand|Sjabloon|Categorie",
        "DOORVERWIJZING",
        "{{dp}}",
        "Zie ook",
        "Planeet",
        "Maan|Aarde|Blauwe planeet|Mercurius",
        (
            "De Maan draait in een maand om de [aarde].",
            "Vandaar lijkt de {blauwe planeet} groot, schreef J. de Vries.",
            "’s Nachts is het er koud.",
            "Er is geen lucht.",
            "Dr. Bakker was er nooit.",
        ),
        ("De Aarde draait elke dag.", "Haar zeeën zijn diep.", "Het leven begon vroeg!", "Eén maan heeft zij."),
    ),
    Wiki(
        "tr",
        "Tartışma|Dosya|Şablon|Kategori",
        "YÖNLENDİRME",
        "{{anlam ayrımı}}",
        "Ayrıca bakınız",
        "Gezegenler",
        "Ay|Dünya|İnsan yurdu|Merkür",
        (
            "Ay bir ayda [dünya] çevresinde döner.",
            "Oradan {insan yurdu} büyük görünür, dedi Dr. Yılmaz.",
            "İnsanlar orada yaşamaz.",
            "Şimdi orada hava yok.",
            "Çok sessizdir.",
        ),
        ("Dünya her gün döner.", "Denizleri derindir.", "İlk canlılar orada doğdu!", "Ötesi karanlıktır."),
    ),
    Wiki(
        "ko",
        "토론|파일|틀|분류",
        "넘겨주기",
        "{{동음이의}}",
        "같이 보기",
        "행성",
        "달|지구|푸른 행성|수성",
        (
            "달은 한 달에 한 번 [지구]를 돈다.",
            "그곳에서 {푸른 행성}은 크게 보인다.",
            "공기가 없다.",
            "소리도 들리지 않는다.",
            "누가 그곳에 사는가?",
        ),
        ("지구는 매일 돈다.", "바다는 깊다.", "생명은 일찍 시작되었다!", "둥근 모양이다."),
    ),
    Wiki(
        "ja",
        "ノート|ファイル|Template|Category",
        "転送",
        "{{曖昧さ回避}}",
        "関連項目",
        "惑星",
        "月|地球|青い惑星|水星",
        (
            "月は一か月で[地球]を回る。",
            "そこから{青い惑星}は大きく見える。",
            "空気はない。",
            "だれが住んでいるのか？",
            "音も聞こえない。",
        ),
        ("地球は毎日回る。", "海は深い。", "生命は早く始まった！", "丸い形をしている。"),
    ),
    Wiki(
        "zh",
        "Talk|File|Template|Category",
        "重定向",
        "{{消歧义}}",
        "参见",
        "行星",
        "月球|地球|蓝色星球|水星",
        (
            "月球每月绕[地球]一周。",
            "从那里看{蓝色星球}很大。",
            "-(zh-hans:那里; zh-hant:那裡;)-没有空气。",
            "谁住在那里？",
            "也听不到声音。",
        ),
        ("地球每天自转。", "海洋很深。", "生命很早就开始了！", "它是圆的。"),
    ),
    Wiki(
        "ar",
        "نقاش|ملف|قالب|تصنيف",
        "تحويل",
        "{{توضيح}}",
        "انظر أيضا",
        "كواكب",
        "القمر|الأرض|الكوكب الأزرق|عطارد",
        (
            "يدور القمر حول [الأرض] في شهر.",
            "من هناك يبدو {الكوكب الأزرق} كبيرا.",
            "من يسكن هناك؟",
            "لا هواء هناك.",
            "ولا يسمع فيه صوت.",
        ),
        ("تدور الأرض كل يوم.", "بحارها عميقة.", "بدأت الحياة مبكرا!", "شكلها كروي."),
    ),
    Wiki(
        "hi",
        "वार्ता|चित्र|साँचा|श्रेणी",
        "पुनर्प्रेषित",
        "{{बहुविकल्पी}}",
        "इन्हें भी देखें",
        "ग्रह",
        "चन्द्रमा|पृथ्वी|नीला ग्रह|बुध",
        (
            "चन्द्रमा एक माह में [पृथ्वी] की परिक्रमा करता है।",
            "वहाँ से {नीला ग्रह} बड़ा दिखता है।",
            "वहाँ हवा नहीं है।",
            "वहाँ कौन रहता है?",
            "कोई आवाज़ भी नहीं सुनाई देती।",
        ),
        ("पृथ्वी प्रतिदिन घूमती है।", "उसके सागर गहरे हैं।", "जीवन वहाँ जल्दी आरम्भ हुआ!", "वह गोल है।"),
    ),
    Wiki(
        "ka",
        "განხილვა|ფაილი|თარგი|კატეგორია",
        "გადამისამართება",
        "{{მრავალმნიშვნელოვანი}}",
        "იხილეთ აგრეთვე",
        "პლანეტები",
        "მთვარე|დედამიწა|ლურჯი პლანეტა|მერკური",
        (
            "მთვარე ერთ თვეში უვლის [დედამიწა]ს.",
            "იქიდან {ლურჯი პლანეტა} დიდი ჩანს.",
            "იქ ჰაერი არ არის.",
            "ვინ ცხოვრობს იქ?",
            "ხმაც არ ისმის.",
        ),
        ("დედამიწა ყოველდღე ბრუნავს.", "მისი ზღვები ღრმაა.", "სიცოცხლე ადრე დაიწყო!", "ის მრგვალია."),
    ),
)


def _prose(wiki: Wiki, sentences: tuple[str, ...]) -> str:
    """Return sentences as markup, with their links."""
    _, earth, other, _ = wiki.names
    text = (" " if wiki.language not in {"ja", "zh"} else "").join(sentences)
    inside = text.partition("{")[2].partition("}")[0]
    # The other name's first letter as the sentence has it; the site makes it a capital, or not.
    text = text.replace("{", f"[[{inside[:1]}{other[1:]}|").replace("}", "]]")
    for link in (word for word in text.split("[") if "]" in word and "|" not in word):
        word = link.partition("]")[0]
        text = text.replace(f"[{word}]", f"[[{earth}|{word}]]", 1)
    return text.replace("-(", "-{").replace(")-", "}-")


def _page(title: str, text: str, number: int = 0, about: str = "") -> str:
    when = "<timestamp>2024-01-01T00:00:00Z</timestamp>"
    revision = f"<revision><id>1</id>{when}<model>wikitext</model><text>{escape(text)}</text></revision>"
    return f"<page><title>{escape(title)}</title><ns>{number}</ns><id>1</id>{about}{revision}</page>\n"


def dump_of(wiki: Wiki) -> str:
    """Return a dump: two articles that link to one another, a redirect, a choice, and pages of other namespaces."""
    talk, file, template, category = wiki.namespaces.split("|")
    moon, earth, other, choice = wiki.names
    in_category = f"\n[[{category}:{wiki.category}]]"
    about_moon = (
        f"{{{{Box\n| a = [[Hidden]]\n}}}}\n[[{file}:x.jpg|thumb|[[Hidden]]]]\n{_prose(wiki, wiki.moon)}"
        f"<ref>Hidden 1990.</ref>\n\n== {wiki.see_also} ==\n* [[{earth}]]\n* [http://example.org Hidden]{in_category}"
    )
    about_earth = f"{_prose(wiki, wiki.earth)}\n{{| class=x\n| [[Hidden]]\n|}}\n<!-- Hidden -->[[{moon}]]{in_category}"
    pages = (
        _page(moon, about_moon),
        _page(earth, about_earth),
        _page(other, f"#{wiki.redirect} [[{earth}]]", about=f"<redirect title={quoteattr(earth)} />"),
        _page(choice, f"{choice}:\n* [[{moon}]]\n* [[{earth}]]\n{wiki.choice}"),
        _page(f"{talk}:{moon}", _prose(wiki, wiki.earth), 1),
        _page(f"{category}:{wiki.category}", _prose(wiki, wiki.moon), 14),
    )
    names = zip((1, 6, 10, 14), (talk, file, template, category), strict=True)
    namespaces = "".join(f'<namespace key="{number}" case="first-letter">{name}</namespace>' for number, name in names)
    return (
        f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="{wiki.language}">'
        f'<siteinfo><case>first-letter</case><namespaces><namespace key="0" case="first-letter" />{namespaces}'
        f"</namespaces></siteinfo>\n{''.join(pages)}</mediawiki>\n"
    )


@dataclass(frozen=True)
class Found:
    """What an import made of a dump.

    Args:
        titles: Titles of topics.
        redirects: Number of redirects.
        left_out: Number of pages left out, by reason.
        categories: The category of each topic.
        links: Links by title.
        sentences: Sentences of all topics in order.
        held_out: Names of splits beside train that each topic has.
    """

    titles: list[str]
    redirects: int
    left_out: dict[str, int]
    categories: list[str]
    links: set[tuple[str, str]]
    sentences: list[str]
    held_out: set[str]


def read_dump(wiki: Wiki, folder: Path) -> Found:
    """Write the dump of a wiki, import it, and return what came of it."""
    path = folder / f"{wiki.language}wiki.xml"
    path.write_text(dump_of(wiki), encoding="utf-8")
    done = import_dump(path, folder / "corpus", workers=1)
    corpus = load_corpus(str(folder / "corpus"))
    graph = corpus.graph
    splits = [
        {Split(int(s)).name.lower() for s in corpus.splits[corpus.topics == topic]} for topic in range(len(graph))
    ]
    return Found(
        list(graph.titles),
        done.redirects,
        dict(done.left_out),
        list(graph.categories),
        {(graph.titles[source], graph.titles[target]) for source in range(len(graph)) for target in graph.out(source)},
        [sentence for text in corpus.texts for sentence in sentences_of(text, wiki.language)],
        set.intersection(*splits) - {"train"},
    )


class InlineExecutor(Executor):
    """An executor that does each task at once in this process; its arguments are those of a process pool."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        del arguments, options

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """Call a function and return its result as a future."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **options))
        return future
